"""The sections of a lesson: each begins with a `##` heading, which may give its minutes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lessons.percent import Cell

HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """Cells under one heading, of which `title` is what stands before ` · `."""

    title: str
    cells: tuple[Cell, ...]
    says_minutes: bool
    optional: bool


def sections(cells: Sequence[Cell]) -> list[Section]:
    """The sections in order. What stands before the first heading belongs to the first one."""
    groups: list[tuple[str, list[Cell]]] = []
    before: list[Cell] = []
    for cell in cells:
        heading = heading_of(cell)
        if heading is not None:
            groups.append((heading, [*before, cell]))
            before = []
        elif groups:
            groups[-1][1].append(cell)
        else:
            before.append(cell)
    return [_section(heading, held) for heading, held in groups]


def heading_of(cell: Cell) -> str | None:
    """The text of the `##` heading that the cell holds, or None."""
    found = HEADING.search(cell.source) if cell.kind == "markdown" else None
    return found[1] if found else None


def _section(heading: str, cells: Sequence[Cell]) -> Section:
    title, _, said = heading.partition(" · ")
    return Section(title, tuple(cells), "minutes" in said, said.endswith("optional"))


def seconds_by_section(cells: Sequence[Cell], seconds: Sequence[float]) -> dict[str, int]:
    """How long the cells of each section ran, by title, to 10 s; `seconds` are those of `cells`."""
    parts = [part.title for part in sections(cells) for _ in part.cells]
    ran = dict.fromkeys(parts, 0.0)
    for title, spent in zip(parts, seconds, strict=bool(parts)):
        ran[title] += spent
    return {title: 10 * round(spent / 10) for title, spent in ran.items()}
