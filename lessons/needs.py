"""What each section of a lesson takes from another one: `python -m lessons.needs d2`.

A section that takes nothing runs after a restart without Run All: its names are its own, the
set-up's, exercises', or of cells that only define something, which `resume` brings back.
"""

import argparse
import sys
from pathlib import Path

from checks.learner_files.notebook import CodeCell
from lessons.minutes import ROOT
from lessons.names import reads_and_binds
from lessons.notebooks import solved_notebook
from lessons.percent import Cell, read_lesson
from lessons.sections import sections


def needs(root: Path, stem: str) -> dict[str, dict[str, str]]:
    """For each section that takes names from others: each name, and the section that binds it."""
    cells = read_lesson(root / "lessons" / f"{stem}.py")
    sources = [cell.source for cell in solved_notebook(root, stem).cells]
    titles = [part.title for part in sections(cells) for _ in part.cells]
    given, bound, found = set[str](), dict[str, str](), dict[str, dict[str, str]]()
    for title, cell, source in zip(titles, cells, sources, strict=True):
        if cell.kind != "code":
            continue
        reads, binds = reads_and_binds(source)
        for name in sorted(reads - given):
            if bound.get(name, title) != title:
                found.setdefault(title, {})[name] = bound[name]
        given = given | binds if _comes_back(cell, source) else given - binds
        bound |= dict.fromkeys(binds, title)
    return found


def _comes_back(cell: Cell, source: str) -> bool:
    """Whether the set-up cell or `resume` defines what the cell does."""
    plain = not {"setup", "exercise", "check"} & set(cell.tags)
    return not plain or CodeCell(source, "plain", None).only_defines


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Prints each section that takes names from others, with those sections; 0."""
    parser = argparse.ArgumentParser(prog="python -m lessons.needs", description=__doc__)
    parser.add_argument("lesson", nargs="*", metavar="d2")
    wanted = tuple(parser.parse_args(arguments).lesson)
    for path in sorted((root / "lessons").glob("d[0-9]_*.py")):
        if path.stem.startswith(wanted or ("d",)):
            print(path.stem)
            for title, names in needs(root, path.stem).items():
                print(f"  {title}: {', '.join(f'{n} ({of})' for n, of in names.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
