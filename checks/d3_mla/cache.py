"""The check of D3.2: a cache with room for so many positions, and nothing in it twice."""

import torch
from torch import Tensor

from checks.d3_mla.cached.cases import Cached, caches, misfits
from checks.d3_mla.cached.filled import (
    append,
    expect_length,
    expect_parts,
    filled,
    held,
    new_cache,
    parts_of,
)
from checks.d3_mla.cached.questions import why_no_view, why_other_bytes
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from solutions import d3_mla as reference

_HEADS, _D_HEAD, _D_LATENT = 32, 128, 512  # the plan's sizes
_NOT_REFUSED = "Is it refused, and not cut, filled up or passed over?"
_BY_TORCH = "Is that looked at before anything is written?"
_BY_ANOTHER = "Is it a ValueError that is raised?"


def _prefill(answer: type, case: Cached) -> None:
    cache, turns = new_cache(answer, case), case.turns()[:1]
    got = append(cache, turns[0], case.lengths[0], case)
    expect_parts(got, turns, "after the first append")


def _in_order(answer: type, case: Cached) -> None:
    filled(answer, case)


def _on_device(answer: type, case: Cached) -> None:
    """With torch's device without memory, which every machine has."""
    parts = [part.detach().to("meta") for part in case.parts(case.lengths[0])]
    ask = "Is the buffer made like the part, on its device and of its type?"
    try:
        got = parts_of(new_cache(answer, case).append(*parts), case)
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
    cache = new_cache(answer, case)
    cache.append(*case.parts(1))
    later = [part.detach().to(other) for part in case.parts(1, 1)]
    try:
        together = cache.append(*later)
    except Exception:  # as index_copy_ does: what another type becomes is nowhere said
        return
    for i, part in enumerate(parts_of(together, case)):
        name = f"part {i}, after an append of {str(other)[6:]},"
        came = part.dtype if isinstance(part, Tensor) else case.dtype
        expect.require(
            came == case.dtype,
            f"{name} must be {str(case.dtype)[6:]}, as what came first, got {str(came)[6:]}",
            "The buffers are made once, by the first. Are they cast to each new part's type?",
        )
        expect.tensor(part, name, (case.batch, 2, case.widths[i]), case.dtype)


def _own_copy(answer: type, case: Cached) -> None:
    """What was appended is changed afterwards, after each append."""
    cache, given = new_cache(answer, case), case.turns()
    kept = case.turns()
    for i, parts in enumerate(given):
        got = append(cache, parts, sum(case.lengths[: i + 1]), case)
        with torch.no_grad():
            for part in parts:
                part.add_(1)
        when = "after the appended tensor was changed in place"
        expect_parts(got, kept[: i + 1], when, changed=given[: i + 1])


def _views(answer: type, case: Cached) -> None:
    """What each append returned, looked at once more when all are appended."""
    cache, turns, views = new_cache(answer, case), case.turns(), []
    for i, parts in enumerate(turns):
        views.append(append(cache, parts, sum(case.lengths[: i + 1]), case))
        _expect_views(views[-1], cache, case)
    for i, earlier in enumerate(views):
        expect_parts(earlier, turns[: i + 1], f"of append {i + 1}, looked at after the last one,")


def _expect_views(parts: list[Tensor], cache: Built, case: Cached) -> None:
    """Raise Wrong unless each part lies in a buffer that has room for all positions."""
    for i, part in enumerate(parts):
        size = part.element_size()
        rows = part.untyped_storage().nbytes() // (size * part[:, 0].numel())
        expect.require(
            rows >= case.capacity,
            f"part {i} must be a view of a buffer of {case.capacity} positions, and it lies in "
            f"memory for {rows}",
            "" if rows >= case.capacity else why_no_view(cache.nbytes, case, size),
        )


def _two_caches(answer: type, case: Cached) -> None:
    both = [new_cache(answer, case), new_cache(answer, case)]
    turns = [case.turns(), case.turns(offset=50)]
    for i in range(len(case.lengths)):
        for cache, own in zip(both, turns, strict=True):
            got = append(cache, own[i], sum(case.lengths[: i + 1]), case)
            expect_parts(got, own[: i + 1], "of one of two caches that are filled in turn")


def _truncated(answer: type, case: Cached) -> None:
    """Some positions forgotten, then all; the next append goes where they were."""
    if not hasattr(answer, "truncate"):
        return  # an answer from an older notebook
    cache, turns = filled(answer, case)
    for kept in (case.lengths[0], 0):
        cache.truncate(kept)
        ask = "Does truncate set `used`, which len(cache) is, to the length it is given?"
        expect_length(cache, kept, f"after truncate({kept})", ask)
        more = case.parts(2, 60 + kept)
        before = [part[:, :kept] for part in turns[0]]
        got = append(cache, more, kept + 2, case, truncated=True)
        expect_parts(got, [before, more], f"of an append after truncate({kept})")


def _expect_refused(cache: Built, parts: list[Tensor], why: str) -> None:
    """A ValueError, with any sentence, and length and bytes as they were."""
    before = len(cache), cache.nbytes
    wanted = f"{why} must be refused with a ValueError"
    try:
        got = cache.append(*parts)
    except ValueError:
        pass
    except Exception as error:
        ask = _BY_TORCH if type(error) is RuntimeError else _BY_ANOTHER
        raise Wrong(f"{wanted}, got {type(error).__name__}. {ask}") from None
    else:
        raise Wrong(f"{wanted}, got {expect.shown(got)}. {_NOT_REFUSED}")
    after = len(cache), cache.nbytes
    expect.require(
        before == after,
        f"{why} must leave the cache as it was: len and nbytes were {before} and are {after}",
        "Is anything made, counted, written or emptied by a call that is refused?",
    )


def _full(answer: type, case: Cached) -> None:
    room = f"with room for {case.capacity} positions"
    empty = new_cache(answer, case)
    _expect_refused(empty, case.parts(case.capacity + 1), f"{case.capacity + 1} positions {room}")
    cache, turns = filled(answer, case)
    for new in {case.spare + 1, case.spare + case.capacity}:
        why = f"{new} positions more, after {len(cache)} {room},"
        _expect_refused(cache, case.parts(new), why)
    if case.spare:
        turns.append(case.parts(case.spare, 30))
        got = append(cache, turns[-1], case.capacity, case)
        expect_parts(got, turns, "once it is exactly full")
        _expect_refused(cache, case.parts(1), f"one position more, after all {case.capacity},")
        expect_parts(got, turns, "of the full cache, after it refused one more,")
    _expect_exactly_full(empty, case)


def _expect_exactly_full(empty: Built, case: Cached) -> None:
    """All at once, in a cache that refused too many before."""
    turns = [case.parts(case.capacity)]
    got = append(empty, turns[0], case.capacity, case)
    expect_parts(got, turns, "with as many positions as fit, after it refused more,")


def _other_shapes(answer: type, case: Cached) -> None:
    """On an empty cache and on one that holds something; both take what fits afterwards."""
    length = min(2, case.capacity - case.lengths[0])
    for why, parts in misfits(case, length).items():
        cache, turns = new_cache(answer, case), case.turns()[:1]
        _expect_refused(cache, parts, f"{why}, in the first append,")
        append(cache, turns[0], case.lengths[0], case)
        _expect_refused(cache, parts, f"{why}, in the second append,")
        turns.append(case.parts(length, 41))
        got = append(cache, turns[1], case.lengths[0] + length, case)
        expect_parts(got, turns, f"after {why} was refused")


def _eight_times(answer: type, case: Cached) -> None:
    """Full, so that it does not matter whether unused rows count."""
    batch, capacity = case.batch, min(case.capacity, 3)
    head = torch.zeros(batch, capacity, _HEADS, _D_HEAD, dtype=case.dtype)
    standard = 2 * head.nbytes  # of the keys, and as many of the values
    cache = answer(batch, capacity, _D_LATENT, _D_LATENT)
    latent = torch.ones(batch, capacity, _D_LATENT, dtype=case.dtype)
    views = cache.append(latent, latent)
    for got, what in ((held(views), "the buffers take"), (cache.nbytes, "nbytes says")):
        expect.require(
            got * 8 == standard,
            f"{capacity} positions of keys and values of {_HEADS} heads × {_D_HEAD} take "
            f"{standard} bytes, two latents of {_D_LATENT} an eighth, {standard // 8}, "
            f"and {what} {got}",
            "Which shape have the buffers, and which type?",
        )


def _bytes(answer: type, case: Cached) -> None:
    """0 before the first append, then those of the whole buffers."""
    cache = new_cache(answer, case)
    ask = "It is 0 until the first append makes the buffers."
    expect.require(cache.nbytes == 0, f"nbytes of a new cache must be 0, got {cache.nbytes}", ask)
    size = case.parts(1)[0].element_size()
    want = case.nbytes(size)
    for parts in case.turns():
        views = cache.append(*parts)
        expect.require(
            cache.nbytes == want and held(views) <= want,
            f"nbytes must be batch × capacity × widths × bytes per number = {case.batch} × "
            f"{case.capacity} × {sum(case.widths)} × {size} = {want} with {len(cache)} positions "
            f"used, got {cache.nbytes}, and what came back lies in {held(views)} bytes",
            why_other_bytes(cache.nbytes, held(views), len(cache), case, size),
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
