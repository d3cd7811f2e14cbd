"""A lesson's cells, read from its percent script and refused where they break the rules.

A cell is text, plain code, or code tagged `setup`, `exercise` or `check`; the last two carry the
id of their exercise: `# %% tags=["exercise"] exercise="D1.1"`. A code cell that need not be read is
folded by `jupyter={"source_hidden": true}`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

METADATA = {"tags", "exercise", "jupyter"}
FOLDED = {"source_hidden": True}
EXERCISE = re.compile(r"from solutions\.(\w+) import (\w+)")


class LessonError(ValueError):
    """A lesson that cannot be built; the message names file and cell."""


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson; `place` names it in messages."""

    kind: str
    source: str
    tags: tuple[str, ...]
    exercise: str | None
    place: str
    folded: bool = False

    @property
    def imported(self) -> tuple[str, str]:
        """Module and name of the one import that is an exercise cell's body."""
        found = EXERCISE.fullmatch(self.source.strip())
        if not found:
            raise LessonError(
                f"{self.place}: an exercise cell holds one import and nothing else, as in "
                f"`from solutions.d1_moe import TopKRouter`"
            )
        return found.group(1), found.group(2)


def read_lesson(path: Path) -> list[Cell]:
    """The cells of the lesson at `path`, in order.

    Raises `LessonError` for a cell that breaks the rules, or where jupytext is missing.
    """
    parse = _parser()
    nodes = parse(path.read_text(encoding="utf-8"), fmt="py:percent").cells
    cells = [_cell(node, number, path.name) for number, node in enumerate(nodes, start=1)]
    _refuse_strays(cells)
    return cells


def _parser() -> Callable:
    # Imported late: jupytext is a maker's tool, and its absence deserves a sentence.
    try:
        import jupytext
    except ModuleNotFoundError:
        raise LessonError(
            "building lessons needs jupytext, which comes with the dev extra: run "
            "`python3 course.py test` once, or `python -m pip install -e .[dev]`"
        ) from None
    return jupytext.reads


def _cell(node, number: int, file: str) -> Cell:
    first = node.source.strip().partition("\n")[0][:50]
    place = f"lessons/{file}, cell {number} ({first})"
    unknown = set(node.metadata) - METADATA - {"lines_to_next_cell"}
    if unknown:
        raise LessonError(f"{place}: unknown cell metadata {', '.join(sorted(unknown))}")
    tags = tuple(node.metadata.get("tags", ()))
    jupyter = node.metadata.get("jupyter")
    exercise = node.metadata.get("exercise")
    cell = Cell(node.cell_type, node.source, tags, exercise, place, folded=bool(jupyter))
    if jupyter and (dict(jupyter) != FOLDED or cell.kind != "code" or exercise):
        raise LessonError(
            f"{place}: only a code cell that is no exercise or check may be folded, "
            f'by jupyter={{"source_hidden": true}}'
        )
    _refuse_half_marked(cell)
    return cell


def _refuse_half_marked(cell: Cell) -> None:
    if cell.kind not in ("markdown", "code"):
        raise LessonError(f"{cell.place}: a cell is markdown or code, not {cell.kind}")
    graded = {"exercise", "check"} & set(cell.tags)
    if len(graded) == 2:
        raise LessonError(f"{cell.place}: a cell is an exercise or a check, not both")
    if graded and not cell.exercise:
        raise LessonError(f'{cell.place}: {graded.pop()} cell without an id (exercise="D1.1")')
    if not graded and EXERCISE.fullmatch(cell.source.strip()):
        raise LessonError(f'{cell.place}: an exercise without the tag "exercise"')
    if cell.exercise and not graded:
        raise LessonError(f'{cell.place}: id {cell.exercise}, but no tag "exercise" or "check"')


def _refuse_strays(cells: list[Cell]) -> None:
    seen = set()
    for cell in cells:
        if "exercise" in cell.tags:
            if cell.exercise in seen:
                raise LessonError(f"{cell.place}: a second exercise {cell.exercise}")
            seen.add(cell.exercise)
        elif cell.exercise and cell.exercise not in seen:
            raise LessonError(f"{cell.place}: no exercise {cell.exercise} stands before this check")
