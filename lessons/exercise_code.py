"""The reference's code that an exercise cell names by its one import."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from helpers.solution_markers import source_of
from lessons.percent import Cell, LessonError

Made = TypeVar("Made")


def made_of(root: Path, cell: Cell, make: Callable[[str], Made]) -> Made:
    """What `make` makes of the exercise's source, fences included.

    Raises `LessonError` where there is no such module or name, or `make` refuses the source.
    """
    module, name = cell.imported
    try:
        text = (root / "solutions" / f"{module}.py").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LessonError(f"{cell.place}: there is no solutions/{module}.py") from None
    try:
        return make(source_of(text, name))
    except (ValueError, SyntaxError) as error:
        raise LessonError(f"{cell.place}: solutions/{module}.py, {name}: {error}") from None
