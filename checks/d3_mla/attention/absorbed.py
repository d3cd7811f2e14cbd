"""The check of D3.4: decoding from the latents themselves, with the up-projections absorbed."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.attention.absorbed_slips import NORMED, asked, over_its_size
from checks.d3_mla.attention.absorbed_work import CONTEXTS, decode_work
from checks.d3_mla.attention.extremes import expect_finite
from checks.d3_mla.attention.layer_cases import (
    SlowAttention,
    WatchedCache,
    as_it_is,
    attentions,
    made,
    slow,
    steep,
)
from checks.d3_mla.cases import POSITIONS, Latent, in_bfloat16, randomise
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.differences.numbers import pattern
from checks.grading.result import Built
from checks.grading.seeded import seeded
from checks.grading.stages import Used, untouched
from checks.grading.time_limit import LAZY_TORCH
from solutions import d3_mla as reference

_ROWS = POSITIONS[:1]
_SCORES = (
    "A first token, which sees itself alone, is right: do the scores differ, the positions that "
    "are seen, or the mix of their latents?"
)
_TURNED = (
    "Is the key cached before it is turned, or turned by the position of an earlier call? The "
    "position of each call is its own len(cache)."
)
_WIDER = (
    "Is a step made wider, as by `softmax(dtype=…)`, and not turned back before it meets what is "
    "in bfloat16?"
)


def _decodes(rng: random.Random) -> list[Latent]:
    """The cases of the whole attention, with at least one token before the last."""
    return [replace(case, length=max(case.length, 2)) for case in attentions(rng)]


def _attention(case: Latent) -> Built:
    return made(reference.MultiHeadLatentAttention, case)


def _step(answer: Callable, attention: Built, x: Tensor, cache: reference.LatentCache):
    """The output for a copy of one token, once it is of the right kind and the cache has grown."""
    before = len(cache)
    x = x.repeat(1, 2, 1)[:, :1]  # not contiguous with several rows
    y = answer(attention, x, cache)
    wide = isinstance(y, Tensor) and y.shape[-1:] == attention.out.weight.shape[1:]
    ask = "Does attention.out come last?" if wide else ""
    y = expect.tensor(y, "the output", x.shape, x.dtype, ask, TOKENS)
    where = "once" if len(cache) > before else "to the cache that is given, and not to a copy"
    expect.require(
        len(cache) == before + 1,
        f"with {before} positions cached, the cache must hold {before + 1} after the call, "
        f"got {len(cache)}",
        f"Are latent and rotary key of the new token appended, {where}?",
    )
    return y.detach()[:, 0]


def _expect_token(got: Tensor, want: Tensor, true: SlowAttention, x: Tensor) -> None:
    """`got` and `want`, `(B, D)`, are outputs for the last token of x."""
    bound = _bound(true.case)
    expect.require(
        expect.near(got, want, bound) or not expect.near(got, want, 1e-5),
        f"in float64 the output must be within {bound:.0e}, got a difference of "
        f"{float((got - want).abs().max()):.0e}",
        _why_inexact(got, true, x, bound),
    )
    if expect.near(got, want, bound):
        return
    ask = asked(got, true, x, bound) or pattern(got, want, _ROWS)
    if x.shape[1] > 1:  # that a first token is right is seen before
        ask = ask or _SCORES
    slips = {ask: lambda: got}
    when = f"at position {x.shape[1] - 1}"
    expect.close(got, want, "the output", axes=_ROWS, when=when, slips=slips, bound=bound)


def _why_inexact(got: Tensor, true: SlowAttention, x: Tensor, bound: float) -> str:
    """A norm of x changes no direction, and what comes after it is normed again."""
    again = (true(over_its_size(x, eps))[:, -1] for eps in (0.0, 1e-6))
    if any(expect.near(got, slip, bound) for slip in again):
        return NORMED
    return "Is a step computed in float32, or is something normed once more?"


def _bound(case: Latent) -> float:
    return 1e-5 if case.dtype == torch.float32 else 1e-10


def _decode_first(answer: Callable, case: Latent) -> None:
    """A token sees itself alone: W_UV and `out` of its latent. Twice, with other weights."""
    attention, x, earlier = _attention(case), case.x()[:, :1], None
    for room in (9, 1):
        true = slow(attention, case)
        got = _step(answer, attention, x, WatchedCache(case, room))
        expect.require(
            earlier is None or not expect.near(got, earlier),
            "the output must follow kv_up, whose weights were changed between two calls, "
            "and it is what it was",
            "Is a product of weights kept from an earlier call?",
        )
        _expect_token(got, true(x)[:, 0], true, x)
        earlier = got
        randomise(attention.latent.kv_up, torch.Generator().manual_seed(case.seed + room))


def _decode_next(answer: Callable, case: Latent) -> None:
    """One token behind the expanded path, and behind a cache that was filled elsewhere."""
    x, true = case.x(), slow(_attention(case), case)
    want = true(x)
    for seen in sorted({1, case.length - 1}, reverse=True):  # slips differ most behind many
        for prefill in (_by_attention, _elsewhere):
            attention, cache = _attention(case), WatchedCache(case, case.length + 3)
            prefill(attention, x[:, :seen], cache, true)
            got = _step(answer, attention, x[:, seen : seen + 1], cache)
            _expect_token(got, want[:, seen], true, x[:, : seen + 1])


def _by_attention(attention: Built, x: Tensor, cache: WatchedCache, true: SlowAttention):
    attention(x, cache)


def _elsewhere(attention: Built, x: Tensor, cache: WatchedCache, true: SlowAttention):
    cache.append(*(part.to(x.dtype) for part in true.cached(x)))


def _decode_use(answer: Callable, case: Latent) -> Used:
    attention, x, cache = _attention(case), case.x(), WatchedCache(case, 9)
    _elsewhere(attention, x[:, :1], cache, slow(attention, case))

    def everything() -> dict[str, Tensor]:
        rows = {f"cached part {i}": buffer[:, :1] for i, buffer in enumerate(cache.buffers)}
        return {"x": x, **attention.state_dict(), **rows}

    return lambda: answer(attention, x[:, 1:2], cache), everything


def _decode_steps(answer: Callable, case: Latent) -> None:
    """All tokens into one cache: what it holds then, and what came out."""
    attention, x, cache = _attention(case), case.x(), WatchedCache(case, 2 * case.length + 3)
    true, steps = slow(attention, case), range(case.length)
    got = [_step(answer, attention, x[:, i : i + 1], cache) for i in steps]
    _expect_cached(cache, true, x)
    want = true(x)
    for i in steps:
        _expect_token(got[i], want[:, i], true, x[:, : i + 1])


def _expect_cached(cache: WatchedCache, true: SlowAttention, x: Tensor) -> None:
    plain = replace(true, latent_norm=as_it_is, key_turn=as_it_is).cached(x)
    names = "the cached latent", "the cached rotary key"
    asks = "Is the latent cached before its norm?", _TURNED
    for i, (name, want) in enumerate(zip(names, true.cached(x), strict=True)):
        got, slips = cache.rows()[i], {asks[i]: plain[i].clone}
        bound = _bound(true.case)
        expect.close(got, want, name, axes=POSITIONS, slips=slips, bound=bound)
        expect.require(
            torch.equal(got, cache.buffers[i][:, : x.shape[1]]),
            f"{name} must stay as it was appended, and it was changed later",
            "Does a line write into what cache.append returned?",
        )


def _decode_long(answer: Callable, case: Latent) -> None:
    """Behind many cached tokens, what the expanded path returns."""
    case = replace(case, length=1)
    attention, (_, context), outputs = _attention(case), CONTEXTS, []
    for step in (attention, partial(answer, attention)):
        cache = WatchedCache(case, context + 1)
        cache.append(
            case.draw(case.batch, context, case.d_latent),
            case.draw(case.batch, context, case.d_rope, offset=2),
        )
        outputs.append(step(case.x(), cache))
    want, got = outputs
    got = expect.tensor(got, "the output", want.shape, case.dtype, axes=TOKENS)
    when = f"behind {context} cached positions"
    ask = "Is a mask or a table made for a fixed number of positions, and not for those cached?"
    expect.close(got, want, "the output", axes=POSITIONS, when=when, slips={ask: lambda: got})


def _decode_steep(answer: Callable, case: Latent) -> None:
    if case.dtype != torch.float64:
        return
    attention, x = steep(_attention(case)), case.x()
    true, cache = slow(attention, case), WatchedCache(case, case.length)
    _elsewhere(attention, x[:, :-1], cache, true)
    raw, when = answer(attention, x[:, -1:], cache), "with queries a thousand times as large"
    expect_finite(raw, when)
    expect.close(raw[:, 0], true(x)[:, -1], "the output", axes=_ROWS, when=when)


def _decode_narrow(answer: Callable, case: Latent) -> None:
    attention, x, cache = _attention(case), case.x(), WatchedCache(case, 2)
    with expect.asking(_WIDER, "dtype|scalar type"):
        for i in range(2):
            _step(answer, attention, x[:, i : i + 1], cache)


def _compared_inputs() -> tuple:
    with seeded(0):
        attention = reference.MultiHeadLatentAttention(64, 4, 16, 24, 8)
        cache = attention.new_cache(4, 513)
        attention(torch.randn(4, 512, 64), cache)
        return attention, torch.randn(4, 1, 64), cache


def _compared_step(function: Callable, inputs: tuple) -> Tensor:
    attention, x, cache = inputs
    cache.used = 512  # every run is the step after the same prefill
    return function(attention, x, cache)


check_absorbed_decode = Check(
    id="D3.4",
    name="absorbed_decode",
    preload=LAZY_TORCH,
    reference_answer=reference.absorbed_decode,
    draw=_decodes,
    stages={
        "the first token: shape, type and value": _decode_first,
        "x, weights and earlier rows untouched": untouched(_decode_use, repeats=False),
        "one token more within 1e-5, in float64 1e-10": _decode_next,
        "bfloat16 goes in and comes out": in_bfloat16(_decode_narrow),
        "step after step, and what is cached": _decode_steps,
        "behind 300 cached positions": _decode_long,
        "scores of some thousands": _decode_steep,
        "no cached latent is expanded: work per cached token": decode_work,
    },
    hints=(
        "In q · (W_UK c), the product W_UK c is made anew for every cached token. Which other "
        "pair can be multiplied first?",
        "Look at attention.latent.kv_up.weight cut into heads, (H, d + v, R): W_UK (H, d, R) and "
        "W_UV (H, v, R), and at the queries, (B, 1, H, d).",
        "Bring each head's query to width R with W_UK, add its scores against the cached latents "
        "and the rotary ones, divide by sqrt(d + r), softmax, mix the latents, then W_UV of each "
        "head's mix, flatten, attention.out.",
    ),
    compared=Comparison(inputs=_compared_inputs, run=_compared_step),
)
