"""What becomes of one cell: as it was copied, as the learner has it, and as the lesson has it now.

What the learner wrote or changed stays. What the lesson changed arrives: in the place of a cell
that the learner left alone, else beside it.
"""

from copy import deepcopy

from nbformat.v4 import new_markdown_cell

from checks.learner.updating.cells import Cell, defines_only, is_exercise, part, said, same, tags

OF_THE_COURSE = ("exercise", "nbgrader")  # the metadata that is not the learner's to change
Fate = tuple[list[Cell], str]  # the cells that stand there then, and in a word what happened


def fate(base: Cell | None, mine: Cell | None, new: Cell | None, touched: bool) -> Fate:
    """The cells in the place of one; `touched` says whether the learner has worked on an exercise.

    The word is "" where nothing changes for the learner, else "new", "changed", "gone", "beside"
    or "asks". One that the learner deleted comes back only if it has changed.
    """
    if mine is None:
        return ([], "") if new is None or same(base, new) else _arrived(new, touched)
    if base is None:
        return [mine], ""
    if is_exercise(base):
        return _of_exercise(base, mine, new, touched)
    if new is None:
        return ([], "gone") if same(base, mine) else ([mine], "")
    if same(mine, base) or same(mine, new):
        return [_renewed(mine, base, new)], "" if same(mine, new) else "changed"
    if same(base, new):
        return [_marked(mine, base, new)], ""
    return [deepcopy(new), mine], "beside"


def _arrived(new: Cell, touched: bool) -> Fate:
    """A stub does not, where it would come after the answer and take its place."""
    if is_exercise(new) and touched:
        return [note(new)], "asks"
    return [deepcopy(new)], "new"


def _of_exercise(base: Cell, mine: Cell, new: Cell | None, touched: bool) -> Fate:
    if new is None:
        return ([mine], "") if touched else ([], "gone")
    if not touched or same(mine, new):
        return [_renewed(mine, base, new)], "" if same(mine, new) else "changed"
    if same(base, new):
        return [_marked(mine, base, new)], ""
    return [note(new), _marked(mine, base, new)], "asks"


def note(stub: Cell) -> Cell:
    """The text above an answer to an exercise that asks something else since."""
    exercise = (part(stub) or ("", ""))[1]
    return new_markdown_cell(
        id=f"changed-{exercise.replace('.', '-')}",
        source=f"**{exercise} has changed since you wrote your answer.** Your cell is as it was. "
        f"The exercise is now:\n\n```python\n{stub.source}\n```\n\n`python3 course.py reset "
        f"{exercise}` puts this in the place of your cell, and keeps yours in a backup.",
    )


def _renewed(mine: Cell, base: Cell, new: Cell) -> Cell:
    """The new cell, with the learner's outputs where it is the same code."""
    cell = _marked(mine, base, new)
    cell.source = new.source
    if cell.cell_type == "code" and said(mine) != said(new):
        cell.outputs, cell.execution_count = [], None
    return cell


def _marked(mine: Cell, base: Cell, new: Cell) -> Cell:
    """The learner's cell with the id, the tags and the names by which the course knows it.

    A cell that holds an answer among other things, and is not marked as the exercise's, stays so.
    """
    cell = deepcopy(mine)
    if is_exercise(new) and not part(mine) and not defines_only(mine):
        return cell
    cell.id = new.id
    cell.metadata = Cell()
    for key in (*new.metadata, *mine.metadata):
        theirs = key in OF_THE_COURSE or mine.metadata.get(key) == base.metadata.get(key)
        metadata = (new if theirs else mine).metadata
        cell.metadata |= {key: metadata[key]} if key in metadata else {}
    own = [tag for tag in tags(mine) if tag not in (*tags(base), *tags(new))]
    if both := [*tags(new), *own]:
        cell.metadata["tags"] = both
    return cell
