"""The check of D4.2a: the whole model, from ids to logits."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import POSITIONS
from checks.d4_deepseek.block import check_deepseek_block, compared_config
from checks.d4_deepseek.cases import (
    V2_OPTIONS,
    V3_OPTIONS,
    Deep,
    decide_all_choices,
    draw_case,
    randomised,
)
from checks.d4_deepseek.parts import (
    THROWN_AWAY,
    called_once,
    calls_counted,
    expect_grown,
    expect_learned_tokens,
    expect_same_again,
    kept_ffn,
    kept_parts,
    silence,
    weight_of,
    weights_of,
)
from checks.d4_deepseek.stack_mistakes import slips_of_stack, true_stack
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import new_module
from checks.grading.result import Built
from checks.grading.stages import state
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
        draw_case(rng, num_layers=2, num_segments=2, training=False, **V2_OPTIONS),
        draw_case(rng, num_layers=2, dense_layers=1, batch=1, length=1),
        draw_case(rng, num_layers=1, batch=1, theta=500.0, norm_eps=0.1),
    ]


def made(answer: type, case: Deep) -> Built:
    """A model of the case, every weight and bias drawn anew."""
    return randomised(new_module(answer, "DeepSeek", case.config), case)


def _kept_model(model: Built, config: DeepSeekConfig) -> None:
    """Raise Wrong unless the model has the lesson's parts, in the configured sizes."""
    kept_parts(model, "DeepSeek", PARTS)
    weight_of(model.embed, "model.embed", config.vocab_size, config.d_model)
    weight_of(model.norm, "model.norm", config.d_model)
    weight_of(model.head, "model.head", config.vocab_size, config.d_model)
    expect.require(
        model.head.weight is not model.embed.weight,
        "model.head must have weights of its own, and they are those of model.embed",
        "Are the two tied? DeepSeek's are not.",
    )
    want, came = config.num_layers, len({id(block) for block in model.blocks})
    expect.require(
        len(model.blocks) == came == want,
        f"model.blocks must hold num_layers={want} blocks, each its own, got {came}",
    )
    for layer, block in enumerate(model.blocks):
        kept_ffn(block, config, layer, f"model.blocks[{layer}].ffn")


def _logits(model: Built, ids: Tensor, case: Deep, *caches: object) -> Tensor:
    """What the model returns for a copy of ids, once it is of the right kind."""
    shape = *ids.shape, case.config.vocab_size
    ask = "Does a block get None as its x? x comes first, and its cache second."
    with expect.asking(ask, r"rms_norm\(\).*NoneType"):
        got = model(ids.clone(), *caches)
    ask, name = _why_other_logits(got, shape, case), f"the logits{' with caches' * bool(caches)}"
    return expect.tensor(got, name, shape, case.dtype, ask, (*TOKENS[:2], "vocab_size")).detach()


def _why_other_logits(got: object, shape: tuple[int, ...], case: Deep) -> str:
    """The question to logits of too few positions, or of another width than the vocabulary's."""
    if not isinstance(got, Tensor) or got.shape[:2] == shape[:2]:
        of_width = isinstance(got, Tensor) and got.shape == (*shape[:2], case.config.d_model)
        return "Does what leaves the last norm pass the head? d_model wide it is." * of_width
    if shape[1] == 1:
        return ""
    last = got.shape in (shape[::2], (shape[0], 1, shape[2]))
    which = "not only the last" if last else "however many there are"
    return f"Every position gets logits, {which}."


def _stack_shapes(answer: type, case: Deep) -> None:
    model, ids = new_module(answer, "DeepSeek", case.config), case.ids()
    _kept_model(model, case.config)
    randomised(model, case)
    _logits(model, ids, case)
    _logits(model, ids[:1, :1], case)
    _logits(model, ids[:1].repeat(1, 100), case)
    _logits(model, ids, case, _caches(case))
    _expect_new_caches(model, case)


def _expect_new_caches(model: Built, case: Deep) -> None:
    """Looked at and not used: another check judges the learner's cache."""
    want, caches = case.config.num_layers, model.new_caches(case.batch, 7)
    expect.require(
        len(caches) == len({id(cache) for cache in caches}) == want
        and not any(len(cache) for cache in caches),
        f"model.new_caches must make {want} empty caches, one per layer, and it does not",
    )


def _caches(case: Deep) -> list:
    """A cache of the check's own for each layer, with room to spare."""
    layers = case.config.num_layers
    return [case.cache(2 * layers * case.length) for _ in range(layers)]


def _stack_ends(answer: type, case: Deep) -> None:
    """With blocks that return their input."""
    model, ids = made(answer, case), case.ids()
    expect_same_again(lambda: _logits(model, ids, case), "ids", case)
    for block in model.blocks:
        silence(block.attention)
        silence(block.ffn)
    true = true_stack(model, case)
    when = "with blocks that return their input"
    got, want = _logits(model, ids, case), true(ids)
    expect.close(
        got, want, "the logits", axes=POSITIONS, when=when, slips=slips_of_stack(true, ids)
    )


def _stack_values(answer: type, case: Deep) -> None:
    model, ids = made(answer, case), case.ids()
    true = true_stack(model, case)
    want, slips = true(ids), slips_of_stack(true, ids)
    _expect_causal(model, ids, case)
    parts = {f"model.blocks[{i}]": block for i, block in enumerate(model.blocks)}
    for training in (False, True):
        model.train(training)
        with calls_counted(parts) as counts:
            got = _logits(model, ids, case)
        expect.close(got, want, "the logits", axes=POSITIONS, slips=slips)
        called_once(counts)


def _expect_causal(model: Built, ids: Tensor, case: Deep) -> None:
    """Another last token changes no earlier logits, and another first sequence no other's."""
    last, other = case.length - 1, ids.clone()
    other[0, last] = (ids[0, last] + 1) % case.config.vocab_size
    moved = _logits(model, other, case) - _logits(model, ids, case)
    same = moved.abs().amax(-1) < 1e-4
    expect.require(
        same[:, :last].all(),
        f"the logits of a position must not depend on the token of position {last}, and they do",
        "Does each block get x as (B, L, D), in the order of the ids?",
    )
    expect.require(
        same[1:].all(),
        "the logits of one sequence must not depend on another sequence, and they do",
        "Does each block get x as (B, L, D), with the batch first?",
    )


def _stack_cached(answer: type, case: Deep) -> None:
    """The check's own caches, as a list or a tuple, for every way to cut the ids."""
    model, ids = made(answer, case), case.ids()
    true, kind = true_stack(model, case), tuple if case.contiguous else list
    want, wanted = true(ids), _filled(model, ids, case)
    for way, lengths in case.ways().items():
        caches = kind(_caches(case))
        got = _in_pieces(model, ids, lengths, caches, case, way)
        if case.dtype == torch.float64:
            when = f"given {way} with caches"
            expect.close(got, want, "the logits", axes=POSITIONS, when=when)
            _expect_own_caches(caches, wanted)


def _in_pieces(
    model: Built, ids: Tensor, lengths: list[int], caches: Sequence, case: Deep, way: str
) -> Tensor:
    got, before = [], 0
    for part in ids.split(lengths, dim=1):
        got.append(_logits(model, part, case, caches))
        held = [len(cache) for cache in caches]
        ask = _why_not_grown(held, before, part.shape[1], way)
        for i, cache in enumerate(caches):
            name = f"caches[{i}] for ids {way}"
            expect_grown(cache, name, before, part.shape[1], ask, case.mode())
        before += part.shape[1]
    return torch.cat(got, dim=1)


def _why_not_grown(held: list[int], before: int, length: int, way: str) -> str:
    if not any(held):
        earlier = "" if way == "all at once" else "These are new ones. "
        handed_on = "Are they handed on to the blocks?"
        return f"{earlier}{handed_on} An empty cache counts as false in `if cache`."
    if before and set(held) == {length}:
        return THROWN_AWAY
    return "Does block i get caches[i]?"


def _filled(model: Built, ids: Tensor, case: Deep) -> list:
    """The caches that the blocks fill, each called with its own."""
    caches, x = _caches(case), model.embed(ids)
    for block, cache in zip(model.blocks, caches, strict=True):
        x = block(x, cache)
    return caches


def _expect_own_caches(caches: Sequence, wanted: Sequence) -> None:
    """Each cache holds what its own block appends."""
    for i, (cache, want) in enumerate(zip(caches, wanted, strict=True)):
        length = len(want)
        expect.require(
            expect.near(cache.buffers[0][:, :length], want.buffers[0][:, :length]),
            f"caches[{i}] must hold what block {i} appends, and it does not",
            "Does block i get caches[i], in the order of the blocks?",
        )


def _stack_stateless(answer: type, case: Deep) -> None:
    model, ids, caches = made(answer, case), case.ids(), _caches(case)
    with expect.untouched(lambda: {"ids": ids, **state(model)}):
        first = model(ids)
        model(ids.flip(1), caches)
        again = model(ids)
    when = "after a call with caches and other ids"
    ask = "Does the model keep anything from one call to the next?"
    slips = {ask: lambda: again}
    expect.close(again, first, "the logits without caches", axes=POSITIONS, when=when, slips=slips)


def _stack_gradients(answer: type, case: Deep) -> None:
    """With biases that alone decide, a small step changes no choice."""
    if case.length == 1 or case.dtype != torch.float64:
        return
    model, ids = made(answer, case), case.ids()[:2, [0, 1, -1]]
    decide_all_choices(model, case)
    expect_learned_tokens(model.embed, model(ids), ids)
    shape = *ids.shape, case.config.vocab_size
    direction = torch.randn(shape, generator=case.generator(3), dtype=case.dtype)
    groups = {"the weights of model.embed": [model.embed.weight]}
    for i, block in enumerate(model.blocks):
        parts = weights_of(block, "").values()
        groups[f"the weights of model.blocks[{i}]"] = [weight for part in parts for weight in part]
    groups |= {f"the weights of model.{name}": [getattr(model, name).weight] for name in PARTS[2:]}
    expect.gradient(lambda: (model(ids) * direction).sum(), groups, case.generator(4), expect.FINE)


check_deepseek = Check(
    id="D4.2a",
    name="DeepSeek",
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
        "Look at x between two blocks: it stays (B, L, D), and caches has one entry per block.",
        "Embed the ids; for each i pass x and caches[i], or None without caches, to "
        "self.blocks[i]; return self.head of self.norm of what comes out.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(128, (4, 48)),),
        build=lambda answer: answer(compared_config()),
        run=lambda model, inputs: model(*inputs),
    ),
    needs=(check_deepseek_block,),
)
