"""The minutes in a lesson's headings: `{D1.1}` stands for those of the check of D1.1."""

import re
from dataclasses import replace

from lessons.percent import Cell, LessonError

IDS = re.compile(r"\{(D\d+\.\w+(?:\+D\d+\.\w+)*)\}")


def with_minutes(cell: Cell, minutes: dict[str, int]) -> Cell:
    """The cell with each `{D1.1}` or `{D1.4a+D1.4b}` replaced by the minutes, added up.

    Raises `LessonError` for an exercise that has no check.
    """
    if cell.kind != "markdown":
        return cell

    def total(found: re.Match) -> str:
        unknown = [exercise for exercise in found[1].split("+") if exercise not in minutes]
        if unknown:
            raise LessonError(f"{cell.place}: there is no check of {', '.join(unknown)}")
        return str(sum(minutes[exercise] for exercise in found[1].split("+")))

    return replace(cell, source=IDS.sub(total, cell.source))
