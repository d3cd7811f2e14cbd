"""Stages of D3.3e in which the attention has a cache."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.attention.extremes import LONG
from checks.d3_mla.attention.layer_cases import (
    SlowAttention,
    WatchedCache,
    as_it_is,
    made,
    slow,
)
from checks.d3_mla.attention.layer_output import (
    expect_close,
    expect_long,
    of_scores,
    output,
)
from checks.d3_mla.attention.layer_turns import slips_of_cache, slips_of_chunks
from checks.d3_mla.cases import POSITIONS, Latent
from checks.grading import expect
from solutions import d3_mla as reference


def layer_prefill(answer: type, case: Latent) -> None:
    """All at once into an empty cache, one with spare rows and one without."""
    layer, x = made(answer, case), case.x()
    true, watched = slow(layer, case), WatchedCache(case, 2 * case.length + 3)
    want = true(x)
    ask = "Are later positions hidden with a cache too?"
    slips = {ask: lambda: true.seeing(x, lambda i: case.length)}
    slips |= slips_of_cache(true, x, [case.length])
    full = reference.LatentCache(case.batch, case.length, *watched.widths)
    for cache in (watched, full):
        got = output(layer, x, cache)
        _expect_held(cache, case)
        asks = slips | of_scores(got, want)
        expect_close(got, want, when="with an empty cache", slips=asks)


def _expect_held(cache: reference.LatentCache, case: Latent, when: str = "") -> None:
    """All of x is in the cache, once."""
    mode = "training" if case.training else "evaluation"
    expect.require(
        len(cache) == case.length,
        f"after {case.length} positions{when and f', {when},'} the cache must hold "
        f"{case.length}, got {len(cache)}, in {mode} mode",
        _why_held(len(cache), case.length),
    )


def _why_held(held: int, length: int) -> str:
    if held > length:
        return "Is what is new appended once in a call?"
    if held:
        return (
            "Is what was cached before still there? A call appends to it, however many rows come."
        )
    return (
        "Does every call append what is new to the cache that it was given, in training and in "
        "evaluation mode? An empty cache counts as false in `if cache`."
    )


def layer_cached(answer: type, case: Latent) -> None:
    layer, x = made(answer, case), case.x()
    cache = WatchedCache(case, 2 * case.length + 3)
    output(layer, x, cache)
    true = slow(layer, case)
    _expect_cached(cache, true.cached(x), "", *_slips_of_cached(true, x))


def _expect_cached(
    cache: WatchedCache, wants: tuple[Tensor, Tensor], when: str, *slips: dict
) -> None:
    """What was appended, and what the buffers hold now."""
    names = "the cached latent", "the cached rotary key"
    for i, (got, want, name) in enumerate(zip(cache.rows(), wants, names, strict=True)):
        asks = slips[i] if slips else None
        expect.close(got, want, name, axes=POSITIONS, when=when, slips=asks)
        expect.require(
            torch.equal(got, cache.buffers[i][:, : len(cache)]),
            f"{name} must stay as it was appended, and it was changed later",
            "Does a line write into what cache.append returned?",
        )


def _slips_of_cached(true: SlowAttention, x: Tensor) -> tuple[dict, dict]:
    """For the latent and for the key."""

    def part(i: int, start: int = 0, **fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields).cached(x, start)[i]

    before_norm = "Is the latent cached before its norm? Cache it normed."
    return {before_norm: part(0, latent_norm=as_it_is)}, {
        "Is the key cached before it is turned? Cache it turned.": part(1, key_turn=as_it_is),
        "Is len(cache) read after the append?": part(1, x.shape[1]),
        "Does the first position count as 1? It is 0.": part(1, 1),
    }


def layer_chunks(answer: type, case: Latent) -> None:
    """A fresh layer for every way to cut, so that each stands for itself."""
    ways = {
        "one by one": [1] * case.length,
        "in two chunks": [case.length - case.length // 2, case.length // 2],
        "one, then several, then one": [1, case.length - 2, 1],
    }
    x, true = case.x(), slow(made(answer, case), case)
    want, cached = true(x), true.cached(x)
    for way, lengths in ways.items() if case.length > 1 else []:
        layer, cache = made(answer, case), WatchedCache(case, 2 * case.length + 3)
        got = torch.cat([output(layer, part, cache) for part in x.split(lengths, 1)], dim=1)
        _expect_held(cache, case, f"given {way}")
        slips = slips_of_chunks(true, x, lengths) | _of_call(got, want, lengths)
        expect_close(got, want, when=f"given {way}", slips=slips)
        _expect_cached(cache, cached, f"given {way}")
    if case.batch == 1 and case.length > 1:
        when = f"of {LONG}, given in two chunks with a cache"
        layer, cache = made(answer, case), WatchedCache(case, LONG)
        expect_long(layer, slow(layer, case), [LONG - 3, 3], when, cache)


def _of_call(got: Tensor, want: Tensor, lengths: list[int]) -> dict[str, Callable[[], Tensor]]:
    """The question to an output that goes wrong behind the first call, which names the row."""
    n = want.shape[1]
    wrong = [i for i in range(n) if not expect.near(got[:, i], want[:, i])]
    if not wrong or wrong[0] < lengths[0]:
        return {}
    begins = [sum(lengths[:k]) for k in range(len(lengths))]
    start = max(begin for begin in begins if begin <= wrong[0])
    ask = (
        f"Position {wrong[0]} is the first that is wrong, row {wrong[0] - start} of the call that "
        f"begins with position {start}. Is {start} where that call starts, and does each of its "
        "rows see all that is cached and itself, and nothing later?"
    )
    return {ask: lambda: got}


_KEEPS = (
    "Does the layer keep anything from one call to the next, a position, a table of rows or a "
    "cache? Where x starts is len(cache), of the cache it is given."
)


def _close_or_keeps(got: Tensor, want: Tensor, when: str) -> None:
    expect_close(got, want, when=when, slips={_KEEPS: lambda: got})


def layer_stateless(answer: type, case: Latent) -> None:
    """Two sequences in turn, a cache that was filled elsewhere, and x alone before and after."""
    if case.length == 1:
        return
    layer, x, other = made(answer, case), case.x(), case.draw(*case.x().shape, offset=3)
    true = slow(layer, case)
    first = output(layer, x)
    half = case.length // 2
    caches = [WatchedCache(case, 2 * case.length) for _ in range(2)]
    both: list[list[Tensor]] = [[], []]
    for cut in (slice(half), slice(half, None)):
        for sequence, cache, got in zip((x, other), caches, both, strict=True):
            got.append(output(layer, sequence[:, cut], cache))
    for sequence, got in zip((x, other), both, strict=True):
        when = "given in two chunks, in turn with another sequence and its own cache"
        _close_or_keeps(torch.cat(got, dim=1), true(sequence), when)
    filled = WatchedCache(case, 2 * case.length)
    filled.append(*(part.to(case.dtype) for part in true.cached(x[:, :half])))
    when = f"given behind a cache that was filled with {half} positions elsewhere"
    _close_or_keeps(output(layer, x[:, half:], filled), true(x)[:, half:], when)
    _close_or_keeps(output(layer, x), first.double(), "without a cache once more")
