"""The check of D3.3e: DeepSeek's complete attention."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.attention.attend import ASK_HIDDEN, ASK_STEEP, check_attend
from checks.d3_mla.attention.layer_cases import (
    SlowAttention,
    WatchedCache,
    as_it_is,
    attentions,
    made,
    slow,
    steep,
)
from checks.d3_mla.attention.layer_slips import slips_of_chunks, slips_of_merging, slips_of_parts
from checks.d3_mla.cache import check_latent_cache
from checks.d3_mla.cases import POSITIONS, Latent, bound_of, in_single
from checks.d3_mla.joint_latent import check_joint_latent
from checks.d3_mla.older_parts import as_taken
from checks.d3_mla.queries import check_query_path
from checks.d3_mla.rotary_key import check_rotary_key
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from checks.grading.stages import Used, state, untouched
from solutions import d3_mla as reference

LEAST = 1e-5  # a change of the output that is no rounding


def _output(layer: Built, x: Tensor, *cache: Built) -> Tensor:
    """What the layer returns for a copy of x, once it is of the right kind."""
    y = layer(x.clone(), *cache)
    narrow = isinstance(y, Tensor) and y.ndim == 3 and y.shape[-1] != x.shape[-1]
    ask = "All heads side by side, (B, L, H·v), go through `out`." if narrow else ""
    return expect.tensor(y, "the output", x.shape, x.dtype, ask).detach()


_expect_close = partial(expect.close, name="the output", axes=POSITIONS)
LONG = 130  # positions: more than a mask of a fixed, small size has


def _layer_shapes(answer: type, case: Latent) -> None:
    layer = made(answer, case)
    slow(layer, case)
    first, again = [_output(layer, case.x()) for _ in range(2)]
    _output(layer, case.x()[:1, :1])
    expect.require(
        _same(first - again),
        "the same x must have the same output a second time, and it does not",
        "Does anything in the layer change between two calls?",
    )
    if hasattr(layer, "new_cache"):
        _expect_new_cache(layer, case)


def _expect_new_cache(layer: Built, case: Latent) -> None:
    """Looked at and not used: another check judges the learner's cache."""
    first, second = [layer.new_cache(case.batch, 9) for _ in range(2)]
    expect.require(
        first is not second and len(first) == 0,
        "layer.new_cache must make a new and empty cache at each call, and it does not",
    )
    want, widths = (case.d_latent, case.d_rope), getattr(first, "widths", None)
    expect.require(
        widths is None or tuple(widths) == want,
        f"layer.new_cache must make a cache of widths (d_latent, d_rope) = {want}, got {widths}",
    )


def _layer_causal(answer: type, case: Latent) -> None:
    """A token in the middle and the last one are drawn anew; all before must stay."""
    layer, x = made(answer, case), case.x()
    y = _output(layer, x)
    for place in {case.length // 2, case.length - 1}:
        other = x.clone()
        other[:, place] = case.draw(case.batch, case.d_model, offset=2)
        moved = _output(layer, other) - y
        first = next(i for i in range(place + 1) if i == place or not _same(moved[:, i]))
        expect.require(
            first == place,
            f"the output of position {first} must not depend on position {place}, and it does",
            "" if first == place else _why_seen(slow(layer, case), x, y),
        )
        expect.require(
            all(not _same(row[place]) for row in moved),
            f"the output of position {place} must depend on x at position {place} in every row "
            "of the batch, and it does not",
            "Does a position see itself?",
        )


def _why_seen(true: SlowAttention, x: Tensor, y: Tensor) -> str:
    """Heads merged in the wrong order mix positions too."""
    slips = _softmax_slips(true, x) | slips_of_merging(true, x)
    asked = (ask for ask, made in slips.items() if expect.near(y, made()))
    ask = "Are the scores of all later positions, and only theirs, hidden before the softmax?"
    return next(asked, ask)


def _same(moved: Tensor) -> bool:
    return float(moved.abs().max()) <= LEAST


def _layer_order(answer: type, case: Latent) -> None:
    """Without rotation the last position sees a set of tokens, in whatever order."""
    if case.length == 1:
        return
    layer, x = made(answer, case), case.x()
    reversed_prefix = torch.cat([x[:, :-1].flip(1), x[:, -1:]], dim=1)
    moved = _output(layer, reversed_prefix) - _output(layer, x)
    expect.require(
        not _same(moved[:, -1]),
        "the last output must change when the tokens before it come in the reverse order, "
        "and it does not",
        "Are the rotary parts of queries and key both turned, and do both reach the scores?",
    )


def _layer_values(answer: type, case: Latent) -> None:
    layer, x = made(answer, case), case.x()
    true = slow(layer, case)
    want, slips = true(x), _slips(true, x)
    for training in (False, True):
        got = _output(layer.train(training), x)
        in_single(got, want, "the output")
        _expect_close(got, want, slips=slips, bound=bound_of(case.dtype))
    if case.batch == 1 and case.length > 1:
        _expect_long(layer, true, [LONG], f"of {LONG}")


def _expect_long(
    layer: Built, true: SlowAttention, lengths: list[int], when: str, *cache: WatchedCache
) -> None:
    """Many positions, in chunks of these lengths."""
    x = true.case.draw(1, LONG, true.case.d_model)
    try:
        parts = [_output(layer, part, *cache) for part in x.split(lengths, dim=1)]
    except Wrong:
        raise
    except Exception as error:
        raised = f"{LONG} positions must go in, and they end in {type(error).__name__}"
        raise Wrong(f"{raised}. {_ANY}") from None
    got = torch.cat(parts, dim=1)
    _expect_close(got, true(x), when=when, slips={_ANY: lambda: got})


_ANY = "Is a mask made for a fixed number of positions, and not for the L and S that came?"


def _softmax_slips(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    keys = "A query's weights sum to 1 over the S keys, the last dimension of (B, H, L, S)."
    return {
        f"Does the softmax run over the queries? {keys}": lambda: true.softmax_over(x, -2),
        f"Does the softmax run over the heads? {keys}": lambda: true.softmax_over(x, 1),
    }


def _slips(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    return {
        **_softmax_slips(true, x),
        "Is x added to the output? The residual is the block's work.": lambda: true(x) + x,
        "Does a position see itself?": lambda: true.seeing(x, lambda i: max(i, 1)),
        **slips_of_merging(true, x),
        **slips_of_parts(true, x),
    }


def _layer_prefill(answer: type, case: Latent) -> None:
    """All at once into an empty cache, one with spare rows and one without."""
    layer, x = made(answer, case), case.x()
    true, watched = slow(layer, case), WatchedCache(case, 2 * case.length + 3)
    want = true(x)
    ask = "Are later positions hidden with a cache too?"
    slips = {ask: lambda: true.seeing(x, lambda i: case.length)}
    full = reference.LatentCache(case.batch, case.length, *watched.widths)
    for cache in (watched, full):
        got = _output(layer, x, cache)
        expect.require(
            len(cache) == case.length,
            f"after {case.length} positions the cache must hold {case.length}, got {len(cache)}",
            "Does every call append what is new? An empty cache counts as false in `if cache`.",
        )
        _expect_close(got, want, when="with an empty cache", slips=slips)


def _layer_cached(answer: type, case: Latent) -> None:
    layer, x = made(answer, case), case.x()
    cache = WatchedCache(case, 2 * case.length + 3)
    _output(layer, x, cache)
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


def _layer_chunks(answer: type, case: Latent) -> None:
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
        got = torch.cat([_output(layer, part, cache) for part in x.split(lengths, 1)], dim=1)
        _expect_close(got, want, when=f"given {way}", slips=slips_of_chunks(true, x, lengths))
        _expect_cached(cache, cached, f"given {way}")
    if case.batch == 1 and case.length > 1:
        when = f"of {LONG}, given in two chunks with a cache"
        layer, cache = made(answer, case), WatchedCache(case, LONG)
        _expect_long(layer, slow(layer, case), [LONG - 3, 3], when, cache)


def _layer_stateless(answer: type, case: Latent) -> None:
    """Two sequences in turn, a cache that was filled elsewhere, and x alone before and after."""
    if case.length == 1:
        return
    layer, x, other = made(answer, case), case.x(), case.draw(*case.x().shape, offset=3)
    true = slow(layer, case)
    first = _output(layer, x)
    half = case.length // 2
    caches = [WatchedCache(case, 2 * case.length) for _ in range(2)]
    both: list[list[Tensor]] = [[], []]
    for cut in (slice(half), slice(half, None)):
        for sequence, cache, got in zip((x, other), caches, both, strict=True):
            got.append(_output(layer, sequence[:, cut], cache))
    for sequence, got in zip((x, other), both, strict=True):
        when = "given in two chunks, in turn with another sequence and its own cache"
        _expect_close(torch.cat(got, dim=1), true(sequence), when=when)
    filled = WatchedCache(case, 2 * case.length)
    filled.append(*(part.to(case.dtype) for part in true.cached(x[:, :half])))
    when = f"given behind a cache that was filled with {half} positions elsewhere"
    _expect_close(_output(layer, x[:, half:], filled), true(x)[:, half:], when=when)
    _expect_close(_output(layer, x), first.double(), when="without a cache once more")


def _layer_steep(answer: type, case: Latent) -> None:
    if case.dtype != torch.float64:
        return
    layer, x = made(answer, case), case.x()
    slow(layer, case)  # its weights have the lesson's names
    true = slow(steep(layer), case)
    raw, when = layer(x.clone()), "with queries a thousand times as large"
    expect.require(
        not isinstance(raw, Tensor) or raw.isfinite().all(),
        f"the output must be finite {when}, got NaN or infinity",
        ASK_STEEP,
    )
    got = _output(layer, x)
    _expect_close(got, true(x), when=when, slips={ASK_HIDDEN: lambda: got})


def _layer_use(answer: type, case: Latent) -> Used:
    layer, x = made(answer, case), case.x()

    def twice() -> None:
        layer(x)
        layer(x, WatchedCache(case, 2 * case.length))

    return twice, lambda: {"x": x, **state(layer)}


def _layer_gradients(answer: type, case: Latent) -> None:
    if case.dtype != torch.float64:
        return
    layer, x = made(answer, case), case.x()[:2, :4].clone().requires_grad_()
    direction = case.draw(*x.shape, offset=4)
    inputs = {"x": x, **dict(layer.named_parameters())}
    expect.gradient(lambda: (layer(x) * direction).sum(), inputs, case.generator())


check_mla = Check(
    id="D3.3e",
    name="MultiHeadLatentAttention",
    minutes=25,
    reference_answer=reference.MultiHeadLatentAttention,
    draw=attentions,
    stages=as_taken(
        {
            "shapes, types and weights": _layer_shapes,
            "no position sees a later one": _layer_causal,
            "the order of earlier tokens matters": _layer_order,
            "without a cache within 1e-5 of slow loops, in float64 1e-10": _layer_values,
            "the same after a prefill": _layer_prefill,
            "cached: the normed latent and the rotated key": _layer_cached,
            "one by one and in chunks": _layer_chunks,
            "nothing kept but in the cache": _layer_stateless,
            "scores of some thousands": _layer_steep,
            "x and weights untouched": untouched(_layer_use),
            "gradients reach x and every weight": _layer_gradients,
        },
        "angles",
        angles=None,
        scale=1.0,
    ),
    hints=(
        "Five tensors go into attend. Which of them know only the new positions, and which all "
        "positions so far?",
        "Look at len(cache) before anything is appended, and at the shapes (B, S, R) and (B, S, r) "
        "that cache.append returns.",
        "Take start from len(cache), or 0; make queries, latent and rotary key of x; append the "
        "latent and the key and go on with what comes back; self.latent.up, attend, flatten the "
        "heads, self.out.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(64, 4, 16, 24, 8, q_latent=32),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(
        check_query_path,
        check_joint_latent,
        check_rotary_key,
        check_attend,
        check_latent_cache,
    ),
)
