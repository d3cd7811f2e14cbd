"""The check of D3.2: a cache with room for so many positions, and nothing in it twice."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.cache_cases import (
    Cached,
    caches,
    misfits,
    over_the_first,
    why_it_fits,
    why_not_as_asked,
)
from checks.d3_mla.cases import POSITIONS
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from solutions import d3_mla as reference

_HEADS, _D_HEAD, _D_LATENT = 32, 128, 512  # the plan's sizes
_BEFORE = "Is that looked at before anything is written?"


def _cache(answer: type, case: Cached) -> Built:
    cache = answer(case.batch, case.capacity, *case.widths)
    _expect_length(cache, 0, "of a new cache")
    return cache


_MOVED_ON = "Is the number of used positions moved on by what was appended?"
_TAKEN_BACK = "Does truncate take back all that says where the next append writes, as `used` does?"


def _expect_length(cache: Built, want: int, when: str, ask: str = _MOVED_ON) -> None:
    got = len(cache)
    expect.require(got == want, f"len(cache) {when} must be {want}, got {got}", ask)


def _append(
    cache: Built, parts: list[Tensor], seen: int, case: Cached, too_many: str = ""
) -> list[Tensor]:
    """What an append returns, once it is a tuple of `seen` positions for each width.

    `too_many` is asked where more come back.
    """
    with expect.asking(too_many or why_it_fits(seen, case), "^ValueError"):
        got = cache.append(*parts)
    got = _parts(got, case)
    for i, (part, width) in enumerate(zip(got, case.widths, strict=True)):
        shape = case.batch, seen, width
        ask = why_not_as_asked(part, shape, case, too_many)
        expect.tensor(part, f"part {i}", shape, case.dtype, ask)
    _expect_length(cache, seen, f"after {seen} positions")
    return [part.detach() for part in got]


def _parts(got: Built, case: Cached) -> Sequence[Tensor]:
    count = len(case.widths)
    wanted = f"append must return a tuple with one tensor for each width, {count} in all"
    ask = "Does every part come back, each by itself?"
    if got is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    expect.require(isinstance(got, tuple | list), f"{wanted}, got {expect.shown(got)}", ask)
    expect.require(len(got) == count, f"{wanted}, got {expect.shown(got)}", ask)
    return got


def _together(turns: Sequence[list[Tensor]]) -> list[Tensor]:
    """Every part over all appends, in their order."""
    return [
        torch.cat([part.detach() for part in parts], dim=1) for parts in zip(*turns, strict=True)
    ]


def _expect_parts(
    got: Sequence[Tensor],
    turns: Sequence[list[Tensor]],
    when: str,
    changed: Sequence[list[Tensor]] = (),
) -> None:
    """Bit by bit what was appended; `changed` is what became of it outside."""
    wants, turned = _together(turns), _together(turns[::-1])
    for i, part in enumerate(got):
        others = [want for j, want in enumerate(wants) if j != i and want.shape == part.shape]
        slips: dict[str, Any] = {"Do the new positions come last?": lambda i=i: turned[i]}
        if len(turns) > 1 and part.shape == wants[i].shape:
            ask = "Are the new positions written at the start, over the old ones? They go to "
            slips[ask + "`used` and on."] = partial(over_the_first, turns, i, part)
        if changed:
            ask = "Is the appended tensor itself kept, and not copied into a buffer?"
            slips[ask] = lambda i=i: _together(changed)[i]
        slips[_default_question(when)] = part.detach
        if others:
            ask = "Are the parts exchanged, or is one of them used twice?"
            slips[ask] = lambda others=others: others[0]
        expect.close(part, wants[i], f"part {i} {when}", axes=POSITIONS, slips=slips, bound=0.0)


def _default_question(when: str) -> str:
    """What is asked where no known slip makes the numbers, by what was done before."""
    if "truncate" in when:
        return _TAKEN_BACK
    if "changed in place" in when:
        return "Is what was appended copied into the cache's own buffers, number by number?"
    if "two caches" in when:
        return "Are the buffers made for each object, and not kept on the class or in a global?"
    if "looked at" in when:
        return "Do the positions that are there stay where they are when more come?"
    return "Is each part written whole, as it came, to its own buffer and at the positions used?"


def _prefill(answer: type, case: Cached) -> None:
    cache, turns = _cache(answer, case), case.turns()[:1]
    got = _append(cache, turns[0], case.lengths[0], case)
    _expect_parts(got, turns, "after the first append")


def _in_order(answer: type, case: Cached) -> None:
    _filled(answer, case)


def _filled(answer: type, case: Cached) -> tuple[Built, list[list[Tensor]]]:
    """A cache with all of the case's appends, each of them judged, and what it was given."""
    cache, turns = _cache(answer, case), case.turns()
    for i, parts in enumerate(turns):
        got = _append(cache, parts, sum(case.lengths[: i + 1]), case)
        _expect_parts(got, turns[: i + 1], f"after append {i + 1}")
    return cache, turns


def _on_device(answer: type, case: Cached) -> None:
    """With torch's device without memory, which every machine has."""
    parts = [part.detach().to("meta") for part in case.parts(case.lengths[0])]
    ask = "Is the buffer made like the part, on its device and of its type?"
    try:
        got = _parts(_cache(answer, case).append(*parts), case)
    except Exception as error:
        raise Wrong(
            "the buffers must be on the device of what is first appended, and parts on the "
            f"device 'meta' end in {type(error).__name__}. {ask}"
        ) from None
    for i, part in enumerate(got):
        where = part.device.type if isinstance(part, Tensor) else expect.shown(part)
        wanted = f"part {i} must be on the device 'meta', where the first parts are"
        expect.require(where == "meta", f"{wanted}, got {where}", ask)


def _like_the_first(answer: type, case: Cached) -> None:
    _on_device(answer, case)
    other = torch.float32 if case.dtype == torch.float64 else torch.float64
    cache = _cache(answer, case)
    cache.append(*case.parts(1))
    later = [part.detach().to(other) for part in case.parts(1, 1)]
    try:
        together = cache.append(*later)
    except Exception:  # as index_copy_ does: what another type becomes is nowhere said
        return
    for i, part in enumerate(_parts(together, case)):
        shape, ask = (case.batch, 2, case.widths[i]), "The buffers are made once, by the first."
        expect.tensor(part, f"part {i}, after an append of {other},", shape, case.dtype, ask)


def _own_copy(answer: type, case: Cached) -> None:
    """What was appended is changed afterwards, after each append."""
    cache, given = _cache(answer, case), case.turns()
    kept = case.turns()
    for i, parts in enumerate(given):
        got = _append(cache, parts, sum(case.lengths[: i + 1]), case)
        with torch.no_grad():
            for part in parts:
                part.add_(1)
        when = "after the appended tensor was changed in place"
        _expect_parts(got, kept[: i + 1], when, changed=given[: i + 1])


def _views(answer: type, case: Cached) -> None:
    """What each append returned, looked at once more when all are appended."""
    cache, turns, views = _cache(answer, case), case.turns(), []
    for i, parts in enumerate(turns):
        views.append(_append(cache, parts, sum(case.lengths[: i + 1]), case))
        _expect_views(views[-1], case)
    for i, earlier in enumerate(views):
        _expect_parts(earlier, turns[: i + 1], f"of append {i + 1}, looked at after the last one,")


def _expect_views(parts: list[Tensor], case: Cached) -> None:
    """Raise Wrong unless each part lies in a buffer that has room for all positions."""
    for i, part in enumerate(parts):
        rows = part.untyped_storage().nbytes() // (part.element_size() * part[:, 0].numel())
        expect.require(
            rows >= case.capacity,
            f"part {i} must be a view of a buffer of {case.capacity} positions, and it lies in "
            f"memory for {rows}: a copy",
            "Does a slice of the buffer come back as it is, without clone or contiguous?",
        )


def _two_caches(answer: type, case: Cached) -> None:
    both = [_cache(answer, case), _cache(answer, case)]
    turns = [case.turns(), case.turns(offset=50)]
    for i in range(len(case.lengths)):
        for cache, own in zip(both, turns, strict=True):
            got = _append(cache, own[i], sum(case.lengths[: i + 1]), case)
            _expect_parts(got, own[: i + 1], "of one of two caches that are filled in turn")


def _truncated(answer: type, case: Cached) -> None:
    """Some positions forgotten, then all; the next append goes where they were."""
    if not hasattr(answer, "truncate"):
        return  # an answer from an older notebook
    cache, turns = _filled(answer, case)
    for kept in (case.lengths[0], 0):
        cache.truncate(kept)
        ask = "Does truncate set `used`, which len(cache) is, to the length it is given?"
        _expect_length(cache, kept, f"after truncate({kept})", ask)
        more = case.parts(2, 60 + kept)
        before = [part[:, :kept] for part in turns[0]]
        got = _append(cache, more, kept + 2, case, _TAKEN_BACK)
        _expect_parts(got, [before, more], f"of an append after truncate({kept})")


def _expect_refused(cache: Built, parts: list[Tensor], why: str) -> None:
    """A ValueError, with any sentence, and length and bytes as they were."""
    before = len(cache), cache.nbytes
    wanted = f"{why} must be refused with a ValueError"
    try:
        got = cache.append(*parts)
    except ValueError:
        pass
    except Exception as error:
        raise Wrong(f"{wanted}, got {type(error).__name__}. {_BEFORE}") from None
    else:
        raise Wrong(f"{wanted}, got {expect.shown(got)}. {_BEFORE}")
    after = len(cache), cache.nbytes
    expect.require(
        before == after,
        f"{why} must leave the cache as it was: len and nbytes were {before} and are {after}",
        "Is anything made or counted before the parts are looked at?",
    )


def _full(answer: type, case: Cached) -> None:
    room = f"with room for {case.capacity} positions"
    empty = _cache(answer, case)
    _expect_refused(empty, case.parts(case.capacity + 1), f"{case.capacity + 1} positions {room}")
    cache, turns = _filled(answer, case)
    for new in {case.spare + 1, case.spare + case.capacity}:
        why = f"{new} positions more, after {len(cache)} {room},"
        _expect_refused(cache, case.parts(new), why)
    if case.spare:
        turns.append(case.parts(case.spare, 30))
        got = _append(cache, turns[-1], case.capacity, case)
        _expect_parts(got, turns, "once it is exactly full")
        _expect_refused(cache, case.parts(1), f"one position more, after all {case.capacity},")
        _expect_parts(got, turns, "of the full cache, after it refused one more,")
    _expect_exactly_full(empty, case)


def _expect_exactly_full(empty: Built, case: Cached) -> None:
    """All at once, in a cache that refused too many before."""
    turns = [case.parts(case.capacity)]
    got = _append(empty, turns[0], case.capacity, case)
    _expect_parts(got, turns, "with as many positions as fit, after it refused more,")


def _other_shapes(answer: type, case: Cached) -> None:
    """On an empty cache and on one that holds something; both take what fits afterwards."""
    length = min(2, case.capacity - case.lengths[0])
    for why, parts in misfits(case, length).items():
        cache, turns = _cache(answer, case), case.turns()[:1]
        _expect_refused(cache, parts, f"{why}, in the first append,")
        _append(cache, turns[0], case.lengths[0], case)
        _expect_refused(cache, parts, f"{why}, in the second append,")
        turns.append(case.parts(length, 41))
        got = _append(cache, turns[1], case.lengths[0] + length, case)
        _expect_parts(got, turns, f"after {why} was refused")


def _held(views: Sequence[Tensor]) -> int:
    """The bytes of the memory that these lie in, the unused rows too."""
    places = (view.untyped_storage() for view in views)
    return sum({place.data_ptr(): place.nbytes() for place in places}.values())


def _eight_times(answer: type, case: Cached) -> None:
    """Full, so that it does not matter whether unused rows count."""
    batch, capacity = case.batch, min(case.capacity, 3)
    head = torch.zeros(batch, capacity, _HEADS, _D_HEAD, dtype=case.dtype)
    standard = 2 * head.nbytes  # of the keys, and as many of the values
    cache = answer(batch, capacity, _D_LATENT, _D_LATENT)
    latent = torch.ones(batch, capacity, _D_LATENT, dtype=case.dtype)
    views = cache.append(latent, latent)
    for got, what in ((_held(views), "the buffers take"), (cache.nbytes, "nbytes says")):
        expect.require(
            got * 8 == standard,
            f"{capacity} positions of keys and values of {_HEADS} heads × {_D_HEAD} take "
            f"{standard} bytes, two latents of {_D_LATENT} an eighth, {standard // 8}, "
            f"and {what} {got}",
            "Which shape have the buffers, and which type?",
        )


def _bytes(answer: type, case: Cached) -> None:
    """0 before the first append, then those of the whole buffers."""
    cache = _cache(answer, case)
    ask = "It is 0 until the first append makes the buffers."
    expect.require(cache.nbytes == 0, f"nbytes of a new cache must be 0, got {cache.nbytes}", ask)
    size = case.parts(1)[0].element_size()
    want = case.batch * case.capacity * sum(case.widths) * size
    for parts in case.turns():
        views = cache.append(*parts)
        expect.require(
            cache.nbytes == want and _held(views) <= want,
            f"nbytes must be batch × capacity × widths × bytes per number = {case.batch} × "
            f"{case.capacity} × {sum(case.widths)} × {size} = {want} with {len(cache)} positions "
            f"used, got {cache.nbytes}, and what came back lies in {_held(views)} bytes",
            "Is there one buffer per part, with room for all positions from the start?",
        )


def _all_bytes(answer: type, case: Cached) -> None:
    _bytes(answer, case)
    _eight_times(answer, case)


def _three_appends(answer: type, inputs: tuple) -> Tensor:
    cache = answer(2, 256, 512, 64)
    for parts in inputs:
        views = cache.append(*parts)
    return torch.cat(views, dim=-1)


def _compared_inputs() -> tuple:
    return tuple((torch.randn(2, n, 512), torch.randn(2, n, 64)) for n in (128, 1, 100))


check_latent_cache = Check(
    id="D3.2",
    name="LatentCache",
    reference_answer=reference.LatentCache,
    draw=caches,
    stages={
        "the first append comes back": _prefill,
        "then one and a chunk: all positions in order": _in_order,
        "later changes of what was appended do not reach it": _own_copy,
        "what came back is one view per part, and stays what it was": _views,
        "two caches share nothing": _two_caches,
        "truncate forgets: the next append goes where `used` says": _truncated,
        "type and device of what is first appended": _like_the_first,
        "exactly full fits, one more is refused": _full,
        "other shapes are refused, and nothing changes": _other_shapes,
        "nbytes counts all rows; 8x smaller at the plan's sizes": _all_bytes,
    },
    hints=(
        "Three positions are used, and two come. Which rows of a buffer do they go to, and which "
        "rows come back?",
        "Look at buffer[:, self.used : self.used + length], (B, L, width): what is written there, "
        "and what must be known before it is?",
        "Compare the shapes of the parts with (batch, length, width) for each width, and used + "
        "length with capacity, and raise a ValueError; make the buffers with new_empty of each "
        "part if there are none; write each part into its buffer's next rows; move used on; "
        "return the slice up to used of each buffer, as a tuple.",
    ),
    compared=Comparison(inputs=_compared_inputs, run=_three_appends),
)
