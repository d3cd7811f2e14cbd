"""The check of D4.1: one layer of a DeepSeek."""

import random
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from checks.d2_deepseek_moe.layer import check_deepseek_moe
from checks.d3_mla.layer import check_mla
from checks.d4_deepseek.cases import (
    BLOCK_PARTS,
    V2_OPTIONS,
    V3_OPTIONS,
    Deep,
    Parts,
    called_once,
    calls_counted,
    decide_all_choices,
    draw_case,
    expect_grown,
    gradients_reach,
    held,
    kept_block,
    rows_close,
    shaken,
    silence,
    true_parts,
    weights_of,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference


def _blocks(rng: random.Random) -> list[Deep]:
    """Six cases: the last dense layer, the first with experts and V3's router, float32, segments
    and V2's router, one token, all experts with other epsilon and theta.
    """
    everyone = rng.randint(3, 4)
    return [
        draw_case(rng, 1, dense_layers=2, contiguous=False),
        draw_case(rng, 1, dense_layers=1, **V3_OPTIONS),
        draw_case(rng, 1, dtype=torch.float32, contiguous=False),
        draw_case(rng, 0, num_segments=rng.randint(2, 3), **V2_OPTIONS),
        draw_case(rng, 1, dense_layers=1, batch=1, length=1),
        draw_case(rng, 0, batch=1, num_experts=everyone, top_k=everyone, norm_eps=0.1, theta=500.0),
    ]


def made(answer: type, case: Deep) -> nn.Module:
    """A block of the case, every weight and bias drawn anew."""
    return shaken(answer(case.config, case.layer), case)


def _output(block: nn.Module, x: Tensor, *cache: object) -> Tensor:
    """What the block gives a copy of x, once it is of the right kind."""
    return expect.tensor(block(x.clone(), *cache), "the output", x.shape, x.dtype).detach()


def _block_shapes(answer: type, case: Deep) -> None:
    block, x = answer(case.config, case.layer), case.x()
    kept_block(block, case.config, case.layer)
    shaken(block, case)
    _output(block, x)
    _output(block, x[:1, :1])
    _output(block, x, case.cache(2 * case.length))


def _block_silent(answer: type, case: Deep) -> None:
    block, x = made(answer, case), case.x()
    silence(block.attention)
    silence(block.ffn)
    parts = true_parts(block, case)
    n, m = parts.attention_norm, parts.ffn_norm
    slips = {
        "Is x added to what each of the two parts gives?": lambda: torch.zeros_like(x),
        "Is x added more than once, where it is x + f(norm(x))?": lambda: 2 * x,
        "Is x added twice around each part, where it is x + f(norm(x))?": lambda: 4 * x,
        "Does the first residual carry x itself past, and not its norm?": lambda: n(x),
        "Does the second residual carry its input past, and not its norm?": lambda: m(x),
        "Do the residuals go past the norms, as in x + f(norm(x))?": lambda: m(n(x)),
    }
    when = "with attention and feed-forward part giving zeros"
    rows_close(_output(block, x), x, "the output", when=when, slips=slips)


def _block_alone(answer: type, case: Deep) -> None:
    """One part gives zeros, and then the other."""
    for silent, other in (("attention", "ffn"), ("ffn", "attention")):
        block, x = made(answer, case), case.x()
        silence(getattr(block, silent))
        parts = true_parts(block, case)
        name, when = f"the output, x and what {other} adds,", f"with {silent} giving zeros"
        rows_close(_output(block, x), parts(x), name, when=when, slips=_slips(parts, x))


def _block_values(answer: type, case: Deep) -> None:
    """Each part is called once, so that the layer's choices are those of all tokens."""
    block, x = made(answer, case), case.x()
    parts = true_parts(block, case)
    want, slips = parts(x), _slips(parts, x)
    for training in (False, True):
        block.train(training)
        with calls_counted(
            {f"block.{name}": getattr(block, name) for name in BLOCK_PARTS}
        ) as counts:
            got = _output(block, x)
        rows_close(got, want, "the output", slips=slips)
        called_once(counts)
        _expect_choices(block, parts, x)


def _expect_choices(block: nn.Module, parts: Parts, x: Tensor) -> None:
    """The layer of experts remembers what it chose for every token, in the order of x."""
    parts(x)
    if not hasattr(parts.ffn, "last_experts"):
        return
    got, want = (layer.last_experts.sort(dim=-1).values for layer in (block.ffn, parts.ffn))
    expect.that(
        torch.equal(got, want),
        "block.ffn.last_experts must hold the choices for the tokens of x, sequence by sequence, "
        "and it does not",
        "Does ffn get (B, L, D), with positions and batch where they are in x?",
    )


def _slips(parts: Parts, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    n, a, m, f = parts.attention_norm, parts.attention, parts.ffn_norm, parts.ffn
    pre = "Each part gets the norm of its input: x + f(norm(x))."

    def plain(x: Tensor) -> Tensor:
        return x

    def changed(**fields: object) -> Callable[[], Tensor]:
        return lambda: replace(parts, **fields)(x)

    def halves(first: Callable, second: Callable) -> Callable[[], Tensor]:
        return lambda: second(first(x))

    def attended(x: Tensor) -> Tensor:
        return x + a(n(x))

    def fed(x: Tensor) -> Tensor:
        return x + f(m(x))

    return {
        "Is each part behind its own norm, attention_norm and ffn_norm?": changed(
            attention_norm=m, ffn_norm=n
        ),
        "Is attention_norm used for both parts? ffn_norm is the second's.": changed(ffn_norm=n),
        "Is ffn_norm used for both parts? attention_norm is the first's.": changed(
            attention_norm=m
        ),
        f"Is the norm before attention left out? {pre}": changed(attention_norm=plain),
        f"Is the norm before the feed-forward part left out? {pre}": changed(ffn_norm=plain),
        f"Are both norms left out? {pre}": changed(attention_norm=plain, ffn_norm=plain),
        f"Is the sum normed, norm(x + f(x))? {pre}": halves(
            lambda x: n(x + a(x)), lambda x: m(x + f(x))
        ),
        f"Is the norm behind each part, x + norm(f(x))? {pre}": halves(
            lambda x: x + n(a(x)), lambda x: x + m(f(x))
        ),
        "Does the feed-forward part see what attention added? It starts from that sum.": lambda: (
            attended(x) + f(m(x))
        ),
        "Do both parts get the same normed x? Each has a norm of its own input.": lambda: (
            attended(x) + f(n(x))
        ),
        "Does what attention adds reach the output? The second residual holds it.": lambda: (
            x + f(m(attended(x)))
        ),
        "Does the residual start from x, and not from its norm?": halves(
            lambda x: n(x) + a(n(x)), lambda x: m(x) + f(m(x))
        ),
        "Does the first residual start from x, and not from its norm?": halves(
            lambda x: n(x) + a(n(x)), fed
        ),
        "Does the second residual start from its own input, and not from its norm?": halves(
            attended, lambda x: m(x) + f(m(x))
        ),
        "Is x added to what attention gives?": halves(lambda x: a(n(x)), fed),
        "Is the sum after attention added to what the feed-forward part gives?": halves(
            attended, lambda x: f(m(x))
        ),
        "Is a residual added after each of the two parts?": halves(
            lambda x: a(n(x)), lambda x: f(m(x))
        ),
        "Is x added once more at the end? The sum after attention holds it.": halves(
            attended, lambda y: y + f(m(y)) + x
        ),
        "Is x added twice around attention?": halves(lambda x: 2 * x + a(n(x)), fed),
        "Is the sum added twice around the feed-forward part?": halves(
            attended, lambda x: 2 * x + f(m(x))
        ),
        "Does attention come first?": halves(fed, attended),
        "Where does the feed-forward part come in?": lambda: attended(x),
        "Is the feed-forward part used twice?": halves(attended, lambda x: fed(fed(x))),
        "Is attention used twice?": halves(lambda x: attended(attended(x)), fed),
        "Is the output normed? The model has a norm behind its last block.": lambda: m(parts(x)),
        "Are positions and rows of the batch exchanged before attention?": halves(
            lambda x: x + a(n(x).transpose(0, 1)).transpose(0, 1), fed
        ),
    }


def _block_cached(answer: type, case: Deep) -> None:
    """A fresh cache for every way to cut x, then x without a cache again."""
    block, x = made(answer, case), case.x()
    parts = true_parts(block, case)
    want = parts(x)
    for way, lengths in case.ways().items():
        cache, got = case.cache(2 * case.length), []
        for part in x.split(lengths, dim=1):
            before = len(cache)
            got.append(_output(block, part, cache))
            expect_grown(cache, "the cache", before, part.shape[1], _why_not_grown(cache))
        if case.dtype == torch.float64:
            when, slips = f"given {way} with a cache", _slips_of_chunks(parts, x, lengths)
            rows_close(torch.cat(got, dim=1), want, "the output", when=when, slips=slips)
    if case.dtype == torch.float64:
        again = _output(block, x)
        rows_close(again, want, "the output", when="without a cache after calls with one")


def _why_not_grown(cache: object) -> str:
    if len(cache) == 0:
        return "Is it handed to self.attention? An empty cache counts as false in `if cache`."
    return "Is attention called once, with the cache, in each call of the block?"


def _slips_of_chunks(parts: Parts, x: Tensor, lengths: list[int]) -> dict:
    return {
        "Is what attention gives with the cache used, and not without it?": lambda: torch.cat(
            [parts(part) for part in x.split(lengths, dim=1)], dim=1
        ),
        **_slips(parts, x),
    }


def _block_untouched(answer: type, case: Deep) -> None:
    block, x = made(answer, case), case.x()
    before = {"x": x.clone(), **{name: v.clone() for name, v in held(block).items()}}
    block(x)
    block(x, case.cache(2 * case.length))
    expect.unchanged(before, {"x": x, **held(block)})


def _block_gradients(answer: type, case: Deep) -> None:
    """With biases that alone decide, a small step changes no choice."""
    if case.length == 1 or case.dtype != torch.float64:
        return
    block, x = made(answer, case), case.x()[:2, :3].clone().requires_grad_()
    decide_all_choices(block, case)
    way = torch.randn(x.shape, generator=case.generator(3), dtype=x.dtype)
    groups = {"x": [x], **weights_of(block, "block")}
    gradients_reach(lambda: (block(x) * way).sum(), groups, case.generator(4))


def compared_config() -> DeepSeekConfig:
    return DeepSeekConfig(
        vocab_size=128,
        num_layers=2,
        d_model=64,
        num_heads=4,
        d_head=16,
        d_latent=24,
        d_rope=8,
        num_experts=8,
        top_k=2,
        expert_dim=48,
        num_shared=1,
        dense_layers=1,
        dense_dim=160,
    )


check_deepseek_block = Check(
    id="D4.1",
    name="DeepSeekBlock",
    minutes=15,
    reference_answer=reference.DeepSeekBlock,
    draw=_blocks,
    stages={
        "parts, shapes and types": _block_shapes,
        "with both parts silent x comes back": _block_silent,
        "with one part silent, x and the other": _block_alone,
        "within 1e-5 of both, each called once": _block_values,
        "with a cache: all at once, one by one and in chunks": _block_cached,
        "x, weights and biases untouched": _block_untouched,
        "gradients reach x and every part in use": _block_gradients,
    },
    hints=(
        "If attention and experts gave zeros, what would the block have to return?",
        "Look at x after attention: what is added to what, and which norm sees the sum?",
        "Add self.attention of self.attention_norm(x), with the cache, to x; to that sum add "
        "self.ffn of self.ffn_norm of it.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(compared_config(), 1),
        run=lambda block, inputs: block(*inputs),
    ),
    needs=(check_mla, check_deepseek_moe),
)
