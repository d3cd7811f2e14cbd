"""A newer lesson merged into a learner's notebook, cell by cell."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from checks.learner.updating.cells import Cell, exercises, part, said, same, title
from checks.learner.updating.fates import fate, note
from checks.learner.updating.order import Key, ordered
from checks.learner.updating.pairing import pairs, pairs_with_changed, with_answers


@dataclass(frozen=True)
class Merged:
    """The merged cells, and what changed: pairs of a word of `fate` and a cell's title."""

    cells: list[Cell]
    changes: list[tuple[str, str]]


@dataclass(frozen=True)
class _Sides:
    """The three notebooks' cells by key; the learner's and the lesson's in their order."""

    base: Mapping[Key, Cell]
    mine: Mapping[Key, Cell]
    new: Mapping[Key, Cell]


def merge(
    base: Sequence[Cell], mine: Sequence[Cell], new: Sequence[Cell], answered: Mapping[str, int]
) -> Merged:
    """What `mine`, which was made from `base`, is with `new` in the place of `base`.

    `answered` is the index in `mine` of the cell that holds the answer, by exercise.
    """
    sides = _sides(base, mine, new, answered)
    worked_on = touched(base, mine, answered)
    old_notes = _old_notes(base, mine, new, worked_on)
    cells: list[Cell] = []
    changes: list[tuple[str, str]] = []
    for key in ordered(list(sides.mine), list(sides.new)):
        one, own, other = sides.base.get(key), sides.mine.get(key), sides.new.get(key)
        named = other or own or one or Cell()
        stands, word = fate(one, own, other, _exercise(named) in worked_on)
        cells += [cell for cell in stands if not any(cell is old for old in old_notes)]
        changes += [(word, _name(named))] if word else []
    return Merged(cells, changes)


def _sides(
    base: Sequence[Cell], mine: Sequence[Cell], new: Sequence[Cell], answered: Mapping[str, int]
) -> _Sides:
    of_mine = with_answers(pairs(base, mine), base, answered)
    of_new = pairs_with_changed(base, new)
    return _Sides(
        dict(enumerate(base)),
        {of_mine.get(i, ("mine", i)): cell for i, cell in enumerate(mine)},
        {of_new.get(i, ("new", i)): cell for i, cell in enumerate(new)},
    )


def touched(base: Sequence[Cell], mine: Sequence[Cell], answered: Mapping[str, int]) -> set[str]:
    """The exercises that the learner has done anything with."""
    found = set(answered) - exercises(base).keys()
    for exercise, stub in exercises(base).items():
        own = {i for i, cell in enumerate(mine) if part(cell) == ("exercise", exercise)}
        own |= {answered[exercise]} if exercise in answered else set()
        if len(own) > 1 or any(not same(mine[i], stub) for i in own):
            found.add(exercise)
    return found


def _exercise(cell: Cell) -> str:
    return (part(cell) or ("", ""))[1]


def _name(cell: Cell) -> str:
    which = part(cell)
    return f"{which[1]}, its {which[0]} cell" if which else title(cell)


def _old_notes(
    base: Sequence[Cell], mine: Sequence[Cell], new: Sequence[Cell], worked_on: Collection[str]
) -> list[Cell]:
    """The learner's cells that are notes of earlier updates, and get another in their place."""
    old, stubs = exercises(base), exercises(new)
    renewed = [e for e in worked_on if e in old and e in stubs and not same(old[e], stubs[e])]
    notes = [said(note(stub)) for e in renewed for stub in (old[e], stubs[e])]
    return [cell for cell in mine if said(cell) in notes]


def missing(base: Sequence[Cell], mine: Sequence[Cell], merged: Sequence[Cell]) -> list[str]:
    """The titles of the learner's own cells that are not among the merged ones: there are none."""
    notes = [note(cell) for cell in exercises(base).values()]
    given = {said(cell) for cell in (*base, *notes)}
    own = Counter(said(cell) for cell in mine if said(cell) not in given)
    lost = own - Counter(said(cell) for cell in merged)
    return [title(cell) for cell in mine if said(cell) in lost]
