"""The check of D4.2a: the whole model, from ids to logits."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.d4_deepseek.block import check_deepseek_block, compared_config
from checks.d4_deepseek.cases import (
    V2_OPTIONS,
    V3_OPTIONS,
    Deep,
    Part,
    called_once,
    calls_counted,
    decide_all_choices,
    draw_case,
    expect_grown,
    gradients_reach,
    held,
    kept_ffn,
    kept_parts,
    rows_close,
    shaken,
    silence,
    true_norm,
    weight_of,
    weights_of,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference

PARTS = ("embed", "blocks", "norm", "head")


def _models(rng: random.Random) -> list[Deep]:
    """Six cases: dense layers before V3's, float32, all layers dense, segments, one token, a batch
    of one with one layer.
    """
    return [
        draw_case(rng, num_layers=2, dense_layers=1, **V3_OPTIONS),
        draw_case(rng, num_layers=2, dtype=torch.float32, contiguous=False),
        draw_case(rng, num_layers=3, dense_layers=3, contiguous=False, norm_eps=0.1),
        draw_case(rng, num_layers=2, num_segments=2, **V2_OPTIONS),
        draw_case(rng, num_layers=2, dense_layers=1, batch=1, length=1),
        draw_case(rng, num_layers=1, batch=1, theta=500.0),
    ]


def made(answer: type, case: Deep) -> nn.Module:
    """A model of the case, every weight and bias drawn anew."""
    return shaken(answer(case.config), case)


def _kept_model(model: nn.Module, config: DeepSeekConfig) -> None:
    """Nothing if the model has the parts of the given constructor, in the configuration's sizes."""
    kept_parts(model, "DeepSeek", PARTS)
    weight_of(model.embed, "model.embed", config.vocab_size, config.d_model)
    weight_of(model.norm, "model.norm", config.d_model)
    weight_of(model.head, "model.head", config.vocab_size, config.d_model)
    expect.that(
        model.head.weight is not model.embed.weight,
        "model.head must have weights of its own, and they are those of model.embed",
    )
    want, came = config.num_layers, len({id(block) for block in model.blocks})
    expect.that(
        len(model.blocks) == came == want,
        f"model.blocks must hold num_layers={want} blocks, each its own, got {came}",
    )
    for layer, block in enumerate(model.blocks):
        kept_ffn(block, config, layer, f"model.blocks[{layer}].ffn")


def _logits(model: nn.Module, ids: Tensor, case: Deep, *caches: object) -> Tensor:
    """What the model gives for a copy of ids, once it is of the right kind."""
    got, shape = model(ids.clone(), *caches), (*ids.shape, case.config.vocab_size)
    last = isinstance(got, Tensor) and got.shape in (shape[::2], (shape[0], 1, shape[2]))
    ask = "Every position gets logits, not only the last." if last and ids.shape[1] > 1 else ""
    return expect.tensor(got, "the logits", shape, case.dtype, ask).detach()


def _stack_shapes(answer: type, case: Deep) -> None:
    model, ids = answer(case.config), case.ids()
    _kept_model(model, case.config)
    shaken(model, case)
    _logits(model, ids, case)
    _logits(model, ids[:1, :1], case)
    _logits(model, ids, case, _caches(case))
    _expect_new_caches(model, case)


def _expect_new_caches(model: nn.Module, case: Deep) -> None:
    """Looked at and not used: another check judges the learner's cache."""
    want, caches = case.config.num_layers, model.new_caches(case.batch, 7)
    expect.that(
        len(caches) == len({id(cache) for cache in caches}) == want
        and not any(len(cache) for cache in caches),
        f"model.new_caches must make {want} empty caches, one a layer, and it does not",
    )


def _caches(case: Deep) -> list:
    """A cache of the check's own for each layer, with room to spare."""
    layers = case.config.num_layers
    return [case.cache(2 * layers * case.length) for _ in range(layers)]


@dataclass(frozen=True)
class _Stack:
    """What a model is made of; a field replaced is a slip."""

    embed: Callable[[Tensor], Tensor]
    blocks: Sequence[Part]
    norm: Part
    head: Part

    def __call__(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.hidden(ids)))

    def bound(self, ids: Tensor) -> Callable[[], Tensor]:
        return lambda: self(ids)

    def hidden(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return x


def _true(model: nn.Module, case: Deep) -> _Stack:
    norm = true_norm(model.norm, case.config)
    return _Stack(model.embed, list(model.blocks), norm, model.head)


def _stack_ends(answer: type, case: Deep) -> None:
    """Every block gives back what it gets."""
    model, ids = made(answer, case), case.ids()
    for block in model.blocks:
        silence(block.attention)
        silence(block.ffn)
    true = _true(model, case)
    when = "with blocks that give back what they get"
    got, want = _logits(model, ids, case), true(ids)
    rows_close(got, want, "the logits", when=when, slips=_slips(true, ids))


def _slips_of_ends(true: _Stack, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    width = true.embed(ids).shape[-1]

    def scaled(by: float) -> Callable[[], Tensor]:
        return lambda: replace(true, embed=lambda ids: by * true.embed(ids))(ids)

    return {
        "Are the logits raw? No softmax belongs into the model.": lambda: true(ids).softmax(-1),
        "Are the logits raw? No log-softmax belongs into the model.": lambda: F.log_softmax(
            true(ids), dim=-1
        ),
        "Is the last norm there, before the head?": replace(true, norm=_plain).bound(ids),
        "Does the head of its own make the logits, and not the embedding?": lambda: (
            true.norm(true.hidden(ids)) @ true.embed.weight.T
        ),
        "Is the embedding scaled? It goes into the first block as it is.": scaled(width**0.5),
        "Are the logits scaled? The head's output is what is asked for.": lambda: (
            true(ids) / width**0.5
        ),
    }


def _plain(x: Tensor) -> Tensor:
    return x


def _stack_values(answer: type, case: Deep) -> None:
    model, ids = made(answer, case), case.ids()
    true = _true(model, case)
    want, slips = true(ids), _slips(true, ids)
    _expect_causal(model, ids, case)
    parts = {f"model.blocks[{i}]": block for i, block in enumerate(model.blocks)}
    for training in (False, True):
        model.train(training)
        with calls_counted(parts) as counts:
            got = _logits(model, ids, case)
        rows_close(got, want, "the logits", slips=slips)
        called_once(counts)


def _expect_causal(model: nn.Module, ids: Tensor, case: Deep) -> None:
    """Another last token changes no earlier logits, and another first sequence no other's."""
    last, other = case.length - 1, ids.clone()
    other[0, last] = (ids[0, last] + 1) % case.config.vocab_size
    moved = _logits(model, other, case) - _logits(model, ids, case)
    same = moved.abs().amax(-1) < 1e-4
    expect.that(
        same[:, :last].all(),
        f"the logits of a position must not depend on the token of position {last}, and they do",
        "Does each block get x as (B, L, D), in the order of the ids?",
    )
    expect.that(
        same[1:].all(),
        "the logits of one sequence must not depend on another sequence, and they do",
        "Does each block get x as (B, L, D), with the batch first?",
    )


def _slips(true: _Stack, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    blocks = list(true.blocks)
    normed = [lambda x, block=block: true.norm(block(x)) for block in blocks]

    def through(*blocks: Part) -> Callable[[], Tensor]:
        return replace(true, blocks=blocks).bound(ids)

    def summed() -> Tensor:
        x = true.embed(ids)
        return true.head(true.norm(sum((block(x) - x for block in blocks), x)))

    return {
        "Do the blocks come in their order, the first one first?": through(*blocks[::-1]),
        "Does x pass every block, the first too?": through(*blocks[1:]),
        "Does x pass every block, the last too?": through(*blocks[:-1]),
        "Does each block get what the block before it gave?": through(blocks[-1]),
        "Does x pass every block?": through(blocks[0]),
        "Does x pass the blocks at all?": through(),
        "Is every block a different one?": through(*[blocks[0]] * len(blocks)),
        "Does x pass every block once?": through(*[b for block in blocks for b in (block, block)]),
        "Does x pass all blocks once?": through(*blocks, *blocks),
        "Does each block get what the block before it gave, and not the embedding?": summed,
        "Is x added to what a block gives? Its residuals are inside.": through(
            *[lambda x, block=block: x + block(x) for block in blocks]
        ),
        "Does the last norm come once, behind all blocks, and not behind each?": through(*normed),
        "Does the last norm come behind all blocks, and not behind each?": lambda: true.head(
            replace(true, blocks=normed).hidden(ids)
        ),
        "Does the last norm come behind the blocks, and not before them?": lambda: replace(
            true, embed=lambda ids: true.norm(true.embed(ids)), norm=_plain
        )(ids),
        "Is the embedding normed? Each block has its own norms.": lambda: replace(
            true, embed=lambda ids: true.norm(true.embed(ids))
        )(ids),
        **_slips_of_ends(true, ids),
    }


def _stack_cached(answer: type, case: Deep) -> None:
    """The check's own caches, as a list or a tuple, for every way to cut the ids."""
    model, ids = made(answer, case), case.ids()
    true, kind = _true(model, case), tuple if case.contiguous else list
    want, wanted = true(ids), _filled(model, ids, case)
    for way, lengths in case.ways().items():
        caches = kind(_caches(case))
        got = _in_pieces(model, ids, lengths, caches, case)
        if case.dtype == torch.float64:
            when = f"given {way} with caches"
            rows_close(got, want, "the logits", when=when)
            _expect_own_caches(caches, wanted)


def _in_pieces(
    model: nn.Module, ids: Tensor, lengths: list[int], caches: Sequence, case: Deep
) -> Tensor:
    got, before = [], 0
    for part in ids.split(lengths, dim=1):
        got.append(_logits(model, part, case, caches))
        handed_on = any(len(cache) for cache in caches)
        ask = "Does block i get caches[i]?" if handed_on else "Are they handed on to the blocks?"
        for i, cache in enumerate(caches):
            expect_grown(cache, f"caches[{i}]", before, part.shape[1], ask)
        before += part.shape[1]
    return torch.cat(got, dim=1)


def _filled(model: nn.Module, ids: Tensor, case: Deep) -> list:
    """The caches that the blocks fill, each called with its own."""
    caches, x = _caches(case), model.embed(ids)
    for block, cache in zip(model.blocks, caches, strict=True):
        x = block(x, cache)
    return caches


def _expect_own_caches(caches: Sequence, wanted: Sequence) -> None:
    """Each cache holds what its own block appends."""
    for i, (cache, want) in enumerate(zip(caches, wanted, strict=True)):
        length = len(want)
        expect.that(
            expect.near(cache.buffers[0][:, :length], want.buffers[0][:, :length]),
            f"caches[{i}] must hold what block {i} appends, and it does not",
            "Does block i get caches[i], in the order of the blocks?",
        )


def _stack_stateless(answer: type, case: Deep) -> None:
    model, ids, caches = made(answer, case), case.ids(), _caches(case)
    before = {"ids": ids.clone(), **{name: v.clone() for name, v in held(model).items()}}
    first = model(ids)
    model(ids.flip(1), caches)
    again = model(ids)
    expect.unchanged(before, {"ids": ids, **held(model)})
    when = "after a call with caches and other ids"
    ask = "Does the model keep anything from one call to the next?"
    slips = {ask: lambda: again}
    rows_close(again, first, "the logits without caches", when=when, slips=slips)


def _stack_gradients(answer: type, case: Deep) -> None:
    """With biases that alone decide, a small step changes no choice."""
    if case.length == 1 or case.dtype != torch.float64:
        return
    model, ids = made(answer, case), case.ids()[:2, :3]
    decide_all_choices(model, case)
    shape = *ids.shape, case.config.vocab_size
    way = torch.randn(shape, generator=case.generator(3), dtype=case.dtype)
    groups = {"the weights of model.embed": [model.embed.weight]}
    for i, block in enumerate(model.blocks):
        parts = weights_of(block, "").values()
        groups[f"the weights of model.blocks[{i}]"] = [weight for part in parts for weight in part]
    groups |= {f"the weights of model.{name}": [getattr(model, name).weight] for name in PARTS[2:]}
    gradients_reach(lambda: (model(ids) * way).sum(), groups, case.generator(4))


check_deepseek = Check(
    id="D4.2a",
    name="DeepSeek",
    minutes=10,
    reference_answer=reference.DeepSeek,
    draw=_models,
    stages={
        "parts, shapes and types": _stack_shapes,
        "embedding, last norm, head: raw logits": _stack_ends,
        "every block once, in order, and no later token seen": _stack_values,
        "each block with its own cache": _stack_cached,
        "nothing kept in the model, ids and weights untouched": _stack_stateless,
        "gradients reach embedding, blocks, norm and head": _stack_gradients,
    },
    hints=(
        "Which part of a model must not be shared between its layers when it generates, and how "
        "does each layer come to its own?",
        "Look at x between two blocks: it stays (B, L, D), and caches has one entry a block.",
        "Embed the ids; for each i give x and caches[i], or None without caches, to "
        "self.blocks[i]; return self.head of self.norm of what comes out.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(128, (4, 48)),),
        build=lambda answer: answer(compared_config()),
        run=lambda model, inputs: model(*inputs),
    ),
    needs=(check_deepseek_block,),
)
