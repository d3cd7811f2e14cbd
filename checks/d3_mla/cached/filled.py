"""What every stage of the latent cache's check does: make one, append, and look at what comes."""

from collections.abc import Sequence

from torch import Tensor

from checks.d3_mla.cached.cases import Cached
from checks.d3_mla.cached.questions import (
    TAKEN_BACK,
    Turns,
    part_slips,
    together,
    why_it_fits,
    why_other_length,
    why_other_positions,
    why_other_shape,
)
from checks.d3_mla.cases import POSITIONS
from checks.grading import expect
from checks.grading.result import Built, Wrong

_NO_BUFFERS = "Are the buffers made by the first append, one for each part?"
_INTO_A_PART = (
    "Does a line write into a part that was appended? The buffers are tensors of their own, "
    "(batch, capacity, width)."
)


def new_cache(answer: type, case: Cached) -> Built:
    """An empty cache of the case's sizes."""
    cache = answer(case.batch, case.capacity, *case.widths)
    expect_length(cache, 0, "of a new cache", "Does `len` return the number of used positions?")
    return cache


def expect_length(cache: Built, want: int, when: str, ask: str) -> None:
    """Raise Wrong, with the question `ask`, unless so many positions are used."""
    got = len(cache)
    expect.require(got == want, f"len(cache) {when} must be {want}, got {got}", ask)


def append(
    cache: Built, parts: list[Tensor], seen: int, case: Cached, truncated: bool = False
) -> list[Tensor]:
    """What an append returns, once it is a tuple of `seen` positions for each width, and the parts
    are as they were.
    """
    given = {f"part {i}, which was appended,": part for i, part in enumerate(parts)}
    refuses = TAKEN_BACK if truncated else why_it_fits(seen, case)
    with (
        expect.untouched(lambda: given),
        expect.asking(_INTO_A_PART, "leaf Variable that requires grad"),
        expect.asking(_NO_BUFFERS, r"^ValueError: zip\(\)"),
        expect.asking(refuses, r"^ValueError(?!: zip\(\)|.* to unpack)"),
    ):
        got = cache.append(*parts)
    got, new = parts_of(got, case), parts[0].shape[1]
    for i, part in enumerate(got):
        _expect_part(part, i, (case.batch, seen, case.widths[i]), new, case, truncated)
    length = len(cache)
    ask = "" if length == seen else why_other_length(length, seen, new, case)
    expect_length(cache, seen, f"after {seen} positions", ask)
    return [part.detach() for part in got]


def parts_of(got: Built, case: Cached) -> Sequence[Tensor]:
    """What an append returned, once it is one thing for each width."""
    count = len(case.widths)
    wanted = f"append must return a tuple with one tensor for each width, {count} in all"
    ask = "Does every part come back, each by itself?"
    if got is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    expect.require(isinstance(got, tuple | list), f"{wanted}, got {expect.shown(got)}", ask)
    expect.require(len(got) == count, f"{wanted}, got {expect.shown(got)}", ask)
    return got


def _expect_part(
    part: Tensor, i: int, shape: tuple[int, int, int], new: int, case: Cached, truncated: bool
) -> None:
    """Raise Wrong unless part i has this shape and the case's type."""
    batch, seen, width = shape
    if isinstance(part, Tensor) and part.ndim == 3 and part.shape == (batch, part.shape[1], width):
        rows = part.shape[1]
        too_many = truncated and rows > seen
        expect.require(
            rows == seen,
            f"part {i} must hold the {seen} positions so far, in shape {shape}, got "
            f"{expect.shown(part)}",
            TAKEN_BACK if too_many else why_other_positions(rows, seen, new, case),
        )
    expect.tensor(part, f"part {i}", shape, case.dtype, why_other_shape(part, shape, case))


def expect_parts(got: Sequence[Tensor], turns: Turns, when: str, changed: Turns = ()) -> None:
    """Bit by bit what was appended; `changed` is what became of it outside."""
    for i, (part, want) in enumerate(zip(got, together(turns), strict=True)):
        slips = part_slips(part, turns, i, when, changed)
        expect.close(part, want, f"part {i} {when}", axes=POSITIONS, slips=slips, bound=0.0)


def filled(answer: type, case: Cached) -> tuple[Built, list[list[Tensor]]]:
    """A cache with all of the case's appends, each of them judged, and what it was given."""
    cache, turns = new_cache(answer, case), case.turns()
    for i, parts in enumerate(turns):
        got = append(cache, parts, sum(case.lengths[: i + 1]), case)
        expect_parts(got, turns[: i + 1], f"after append {i + 1}")
    return cache, turns


def held(views: Sequence[Tensor]) -> int:
    """The bytes of the memory that these lie in, the unused rows too."""
    places = (view.untyped_storage() for view in views)
    return sum({place.data_ptr(): place.nbytes() for place in places}.values())
