"""The check of D4.1: one layer of a DeepSeek."""

import random
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d2_deepseek_moe.layer import check_deepseek_moe
from checks.d3_mla.attention.layer import check_mla
from checks.d3_mla.cases import POSITIONS
from checks.d4_deepseek.block_mistakes import (
    slips_of_block,
    slips_of_chunks,
    slips_of_options,
    slips_of_silent,
    why_scaled,
)
from checks.d4_deepseek.cases import (
    V2_OPTIONS,
    V3_OPTIONS,
    Deep,
    decide_all_choices,
    draw_case,
    randomised,
)
from checks.d4_deepseek.parts import (
    BLOCK_PARTS,
    THROWN_AWAY,
    Parts,
    called_once,
    calls_counted,
    expect_grown,
    expect_same_again,
    kept_block,
    silence,
    true_parts,
    weights_of,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import new_module
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference


def _blocks(rng: random.Random) -> list[Deep]:
    """Six cases: the last dense layer with other epsilon and theta, the first with experts and V3's
    router, float32, segments and V2's router, one token and V2's router, all experts with other
    epsilon and theta; in either mode.
    """
    everyone = rng.randint(3, 4)
    others: dict[str, Any] = {"norm_eps": 0.1, "theta": 500.0}
    return [
        draw_case(rng, 1, dense_layers=2, contiguous=False, **others),
        draw_case(rng, 1, dense_layers=1, training=False, **V3_OPTIONS),
        draw_case(rng, 1, dtype=torch.float32, contiguous=False),
        draw_case(rng, 0, num_segments=rng.randint(2, 3), training=False, **V2_OPTIONS),
        draw_case(rng, 1, dense_layers=1, batch=1, length=1, **V2_OPTIONS),
        draw_case(rng, 0, batch=1, num_experts=everyone, top_k=everyone, **others),
    ]


def made(answer: type, case: Deep) -> Built:
    """A block of the case, every weight and bias drawn anew."""
    return randomised(new_module(answer, "DeepSeekBlock", case.config, case.layer), case)


def _output(block: Built, x: Tensor, *cache: Built) -> Tensor:
    """What the block returns for a copy of x, once it is of the right kind."""
    ask = "Does `attended` get x first, then the cache? Or: Is a tensor taken for true or false?"
    with expect.asking(ask, "Boolean value of Tensor"):
        got = block(x.clone(), *cache)
    name = "the output with a cache" if cache else "the output"
    return expect.tensor(got, name, x.shape, x.dtype, axes=TOKENS).detach()


def _block_shapes(answer: type, case: Deep) -> None:
    block, x = new_module(answer, "DeepSeekBlock", case.config, case.layer), case.x()
    kept_block(block, case.config, case.layer)
    randomised(block, case)
    _output(block, x)
    _output(block, x[:1, :1])
    _output(block, x, case.cache(2 * case.length))


def _block_silent(answer: type, case: Deep) -> None:
    block, x = made(answer, case), case.x()
    expect_same_again(lambda: _output(block, x), "x", case)
    silence(block.attention)
    silence(block.ffn)
    slips = slips_of_silent(true_parts(block, case), x)
    when = "while attention and feed-forward part return zeros"
    expect.close(_output(block, x), x, "the output", axes=POSITIONS, when=when, slips=slips)


def _block_alone(answer: type, case: Deep) -> None:
    """One part returns zeros, and then the other."""
    for silent, other in (("attention", "ffn"), ("ffn", "attention")):
        block, x = made(answer, case), case.x()
        silence(getattr(block, silent))
        parts = true_parts(block, case)
        name, when = f"the output, x and what {other} adds,", f"while {silent} returns zeros"
        got, want = _output(block, x), parts(x)
        slips = slips_of_block(parts, x) | slips_of_options(block, parts, x)
        slips |= why_scaled(got, want, x, other)
        expect.close(got, want, name, axes=POSITIONS, when=when, slips=slips)


def _block_values(answer: type, case: Deep) -> None:
    """Each part is called once, so that the layer's choices are those of all tokens."""
    block, x = made(answer, case), case.x()
    parts = true_parts(block, case)
    want, slips = parts(x), slips_of_block(parts, x) | slips_of_options(block, parts, x)
    for training in (False, True):
        block.train(training)
        with calls_counted(
            {f"block.{name}": getattr(block, name) for name in BLOCK_PARTS}
        ) as counts:
            got = _output(block, x)
        expect.close(got, want, "the output", axes=POSITIONS, slips=slips)
        expect.require(
            block.attention_norm is not block.ffn_norm or counts["block.ffn_norm"] < 2,
            "block.attention_norm and block.ffn_norm are one module, which is called twice",
            "Is each made by itself, with a weight of its own?",
        )
        called_once(counts)
        _expect_choices(block, parts, x)


def _expect_choices(block: Built, parts: Parts, x: Tensor) -> None:
    """The layer of experts remembers what it chose for every token, in the order of x."""
    parts(x)
    if not hasattr(parts.ffn, "last_experts"):
        return
    got, want = (layer.last_experts.sort(dim=-1).values for layer in (block.ffn, parts.ffn))
    expect.require(
        torch.equal(got, want),
        "block.ffn.last_experts must hold the choices for the tokens of x, sequence by sequence, "
        "and it does not",
        "Does ffn get (B, L, D), with positions and batch where they are in x?",
    )


def _block_cached(answer: type, case: Deep) -> None:
    """A fresh cache for every way to cut x, then x without a cache again."""
    block, x = made(answer, case), case.x()
    parts = true_parts(block, case)
    want = parts(x)
    for way, lengths in case.ways().items():
        cache, got = case.cache(2 * case.length), []
        for part in x.split(lengths, dim=1):
            before, length = len(cache), part.shape[1]
            got.append(_output(block, part, cache))
            ask = _why_not_grown(cache, before, length, way)
            expect_grown(cache, f"the cache for x {way}", before, length, ask, case.mode())
        if case.dtype == torch.float64:
            when, slips = f"given {way} with a cache", slips_of_chunks(parts, x, lengths)
            expect.close(
                torch.cat(got, dim=1), want, "the output", axes=POSITIONS, when=when, slips=slips
            )
    if case.dtype == torch.float64:
        again = _output(block, x)
        expect.close(
            again, want, "the output", axes=POSITIONS, when="without a cache after calls with one"
        )


def _why_not_grown(cache: Built, before: int, length: int, way: str) -> str:
    if len(cache) == 0:
        earlier = "" if way == "all at once" else "It is a new one. "
        handed_on = "Is it handed to self.attended?"
        return f"{earlier}{handed_on} An empty cache counts as false in `if cache`."
    if before and len(cache) == length:
        return THROWN_AWAY
    return "Is attention called once, with the cache, in each call of the block?"


def _block_use(answer: type, case: Deep) -> Used:
    block, x = made(answer, case), case.x()

    def twice() -> None:
        block(x)
        block(x, case.cache(2 * case.length))

    return twice, lambda: {"x": x, **state(block)}


def _block_gradients(answer: type, case: Deep) -> None:
    """With biases that alone decide, a small step changes no choice."""
    if case.length == 1 or case.dtype != torch.float64:
        return
    block, x = made(answer, case), case.x()[:2, :3].clone().requires_grad_()
    decide_all_choices(block, case)
    direction = torch.randn(x.shape, generator=case.generator(3), dtype=x.dtype)
    groups = {"x": [x], **weights_of(block, "block")}
    expect.gradient(lambda: (block(x) * direction).sum(), groups, case.generator(4), expect.FINE)


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
    reference_answer=reference.DeepSeekBlock,
    draw=_blocks,
    stages={
        "parts, shapes and types": _block_shapes,
        "x, weights and biases untouched": untouched(_block_use),
        "with both parts silent x comes back": _block_silent,
        "with one part silent, x and the other": _block_alone,
        "within 1e-5 of both, each called once": _block_values,
        "with a cache: all at once, one by one and in chunks": _block_cached,
        "gradients reach x and every part in use": _block_gradients,
    },
    hints=(
        "If attention and experts returned zeros, what would the block have to return?",
        "Look at x after attention: what is added to what, and which norm sees the sum?",
        "Make two RMSNorms, the attention of config.attention(), and by the number of the layer a "
        "SwiGLU or the DeepSeekMoE of config.experts(). Then add self.attended of "
        "self.attention_norm(x), with the cache, to x; to that sum add self.ffn of self.ffn_norm "
        "of it.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(compared_config(), 1),
        run=lambda block, inputs: block(*inputs),
    ),
    needs=(check_mla, check_deepseek_moe),
)
