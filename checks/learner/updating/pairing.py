"""Which cell of one notebook was made from which cell of another."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from checks.learner.updating.cells import Cell, ids, part, said, tags

ALIKE = 0.4  # of the words of two texts that both have, from where on one is the other, changed
Marks = Callable[[Cell], list[Hashable]]


def pairs(base: Sequence[Cell], other: Sequence[Cell]) -> dict[int, int]:
    """For cells of `other`, by index, the cell of `base` that each was made from.

    Each has at most one, and a cell is known by its id and text, by text alone, by its id, by its
    exercise: so tags may lack, ids may lack, and cells may stand in any order.
    """
    found: dict[int, int] = {}
    for marks in (_ids_and_text, _text, _ids, _part):
        taken, held = set(found.values()), _by_mark(base, marks)
        for i, cell in enumerate(other):
            free = [b for mark in marks(cell) for b in held.get(mark, []) if b not in taken]
            if i not in found and free:
                found[i] = free[0]
                taken.add(free[0])
    return found


def pairs_with_changed(base: Sequence[Cell], new: Sequence[Cell]) -> dict[int, int]:
    """The same of a newer lesson, where a text with another id may stand in an older one's place.

    Behind the same neighbour those most alike are one cell, then the rest that are of one kind.
    """
    found = pairs(base, new)
    gone = _gaps(len(base), {b: b for b in found.values()})
    come = _gaps(len(new), found)
    for before in gone.keys() & come.keys():
        left = gone[before]
        for alike in (ALIKE, 0.0):
            for n in come[before]:
                if n not in found and (best := _most_alike(base, left, new[n], alike)) is not None:
                    found[n] = best
                    left.remove(best)
    return found


def _most_alike(base: Sequence[Cell], left: list[int], cell: Cell, least: float) -> int | None:
    likeness = {b: _likeness(base[b], cell) for b in left}
    best = max(likeness, key=likeness.__getitem__, default=None)
    return best if best is not None and likeness[best] >= least else None


def with_answers(
    paired: dict[int, int], base: Sequence[Cell], answered: Mapping[str, int]
) -> dict[int, int]:
    """`paired`; an exercise none of whose cells is marked as its own is where its answer is."""
    known = set(paired.values())
    for b, cell in enumerate(base):
        which = part(cell) or ("", "")
        i = answered.get(which[1], -1)
        if which[0] == "exercise" and b not in known and i not in paired and i >= 0:
            paired[i] = b
    return paired


def _by_mark(cells: Sequence[Cell], marks: Marks) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        for mark in marks(cell):
            found[mark].append(i)
    return found


def _ids_and_text(cell: Cell) -> list[Hashable]:
    return [(each, said(cell)) for each in ids(cell)]


def _text(cell: Cell) -> list[Hashable]:
    return [said(cell)]


def _ids(cell: Cell) -> list[Hashable]:
    return [(each, cell.cell_type) for each in ids(cell)]


def _part(cell: Cell) -> list[Hashable]:
    return [each for each in [part(cell)] if each]


def _gaps(count: int, known: Mapping[int, int]) -> dict[int, list[int]]:
    """The indexes that are not `known`, by what is known of the nearest one before, else -1."""
    gaps: dict[int, list[int]] = defaultdict(list)
    before = -1
    for i in range(count):
        if i in known:
            before = known[i]
        else:
            gaps[before].append(i)
    return gaps


def _likeness(one: Cell, other: Cell) -> float:
    """The share of words that both have; below 0 where one cannot have become the other."""
    kinds = [(cell.cell_type, "setup" in tags(cell), part(cell)) for cell in (one, other)]
    if kinds[0] != kinds[1] or kinds[0][2]:
        return -1.0
    mine, theirs = set(one.source.split()), set(other.source.split())
    return len(mine & theirs) / max(1, len(mine | theirs))
