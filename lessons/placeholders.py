"""What the build writes into texts: `{section}`, `{lesson}`, `{map}`, `{plan}` and `{D1.1}`.

`{D1.1}` is what one exercise takes, `{D1.4a+D1.4b}` what two take together, in minutes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lessons.minutes import (
    Timed,
    exercise_minutes,
    hours,
    lesson_minutes,
    timed_sections,
)
from lessons.percent import Cell, LessonError
from lessons.sections import heading_of

IDS = re.compile(r"\{(D\d+\.\w+(?:\+D\d+\.\w+)*)\}")
PLAN = "plan.md"


def filled(root: Path, stem: str, cells: Sequence[Cell]) -> list[Cell]:
    """The cells with every placeholder in their texts replaced; code stays as it is.

    Raises `LessonError` for an exercise that has no cell, and for `{section}` above all headings.
    """
    timed = timed_sections(root, stem, cells)
    wholes = {
        "lesson": hours(lesson_minutes(timed)),
        "map": lesson_map(timed),
        "plan": plan_table(root),
    }
    minutes = exercise_minutes(root, cells)
    found, section = [], -1
    for cell in cells:
        section += heading_of(cell) is not None
        own = {"section": str(timed[section].minutes)} if section >= 0 else {}
        found.append(_filled(cell, {**wholes, **own}, minutes))
    return found


def _filled(cell: Cell, texts: Mapping[str, str], minutes: Mapping[str, int]) -> Cell:
    if cell.kind != "markdown":
        return cell
    source = cell.source
    for name, text in texts.items():
        source = source.replace(f"{{{name}}}", text)
    if "{section}" in source:
        raise LessonError(f"{cell.place}: {{section}} stands above every heading with ##")
    return replace(cell, source=IDS.sub(lambda ids: _total(cell, ids[1], minutes), source))


def _total(cell: Cell, ids: str, minutes: Mapping[str, int]) -> str:
    unknown = [exercise for exercise in ids.split("+") if exercise not in minutes]
    if unknown:
        raise LessonError(f"{cell.place}: there is no exercise {', '.join(unknown)}")
    return str(sum(minutes[exercise] for exercise in ids.split("+")))


def lesson_map(timed: Sequence[Timed]) -> str:
    """A table of the sections that take time, with their minutes; the last row is the lesson."""
    rows = [
        f"| {section.title} | {section.minutes}{' (optional)' * section.optional} |"
        for section in timed
        if section.minutes
    ]
    total = f"| together | {hours(lesson_minutes(timed))} |"
    return "\n".join(["| section | minutes |", "|---|---|", *rows, total])


def plan_table(root: Path) -> str:
    """The study plan as a table of its rows, with where each is met; empty where there is none."""
    path = root / "lessons" / PLAN
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
