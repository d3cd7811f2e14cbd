"""Makes `notebooks/`, `colab/` and `solutions/*.ipynb`: `python -m lessons.build`."""

import argparse
import sys
import time
from pathlib import Path

from nbformat import NotebookNode

from lessons.execute import execute
from lessons.freshness import LEARNERS, digest, stale_learner, stale_solved, stale_studies, stems
from lessons.notebooks import as_text, solved_notebook, write
from lessons.percent import LessonError, read_lesson
from lessons.sections import seconds_by_section

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 2_000_000


def build_learner(root: Path, stem: str) -> None:
    """`notebooks/<stem>.ipynb` and `colab/<stem>.ipynb` are what the lesson makes."""
    for folder, make in LEARNERS.items():
        write(make(root, stem), root / folder / f"{stem}.ipynb")


def build_solved(root: Path, stem: str) -> None:
    """`solutions/<stem>.ipynb` is the solved lesson, executed in `solutions/`, with its digest.

    It keeps how long each section ran, which the minutes in its headings are reckoned from.
    Raises `LessonError`, and leaves the old file, where a study that the lesson reads is stale, a
    cell fails or the file gets too large.
    """
    name = f"solutions/{stem}.ipynb"
    if stale := _of_other_sources(root, stem):
        raise LessonError("\n".join(stale))
    notebook, made_from = solved_notebook(root, stem), digest(root, stem)
    try:
        ran = execute(notebook, root / "solutions")
    except LessonError as error:
        raise LessonError(f"{name}: {error}") from error
    seconds = seconds_by_section(read_lesson(root / "lessons" / f"{stem}.py"), ran)
    notebook.metadata["course"] = {"digest": made_from, "seconds": seconds}
    size = len(as_text(notebook).encode())
    if size >= MAX_BYTES:
        raise LessonError(f"{name} would have {size:,} bytes; it must stay below {MAX_BYTES:,}")
    write(notebook, root / name)
    _renew_texts(notebook, solved_notebook(root, stem))
    write(notebook, root / name)


def _renew_texts(notebook: NotebookNode, wanted: NotebookNode) -> None:
    """The texts say the minutes that the notebook's own run times give; outputs stay."""
    for cell, new in zip(notebook.cells, wanted.cells, strict=True):
        if cell.cell_type == "markdown":
            cell.source, cell.id = new.source, new.id


def check(root: Path, chosen: list[str]) -> list[str]:
    """One line for each built notebook that is stale; nothing is executed or written."""
    lines = []
    for stem in chosen:
        lines += _of_other_sources(root, stem)
        for folder in stale_learner(root, stem):
            made = f"{folder}/{stem}.ipynb is not what lessons/{stem}.py makes"
            lines.append(f"{made}: run python -m lessons.build --stubs {stem}")
        if why := stale_solved(root, stem):
            lines.append(f"solutions/{stem}.ipynb {why}: run python -m lessons.build {stem}")
    return lines


def _of_other_sources(root: Path, stem: str) -> list[str]:
    """A line for each study that the lesson reads and that is stale."""
    made = "was made from other sources: run python -m tests.studies"
    return [f"lessons/studies/{name}.json {made} {name}" for name in stale_studies(root, stem)]


def build(root: Path, chosen: list[str], *, stubs: bool, force: bool) -> None:
    """The chosen lessons' notebooks are fresh; `stubs` leaves the solved ones as they are."""
    for stem in chosen:
        build_learner(root, stem)
        print(f"notebooks/{stem}.ipynb written")
        if stubs or not (force or stale_solved(root, stem)):
            continue
        start = time.perf_counter()
        build_solved(root, stem)
        print(f"solutions/{stem}.ipynb executed in {time.perf_counter() - start:.0f} s")
        build_learner(root, stem)  # its minutes count the time that the cells just ran


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The exit code of the command line `arguments`: 1 where something is stale or cannot be."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _chosen(root, options.stem)
        if options.check:
            lines = check(root, chosen)
            print("\n".join(lines) or "all notebooks are fresh")
            return bool(lines)
        build(root, chosen, stubs=options.stubs, force=options.force)
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _chosen(root: Path, wanted: list[str]) -> list[str]:
    found = stems(root)
    if not found:
        raise LessonError(f"there is no lesson d1_….py in {root / 'lessons'}")
    for stem in wanted:
        if stem not in found:
            raise LessonError(f"there is no lesson {stem}; the lessons are {', '.join(found)}")
    return wanted or found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lessons.build", description=__doc__)
    parser.add_argument("stem", nargs="*", help="a lesson such as d1_moe; all without one")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--stubs", action="store_true", help="build the learner's notebooks only")
    only.add_argument("--check", action="store_true", help="say what is stale; execute nothing")
    only.add_argument("--force", action="store_true", help="execute again what is fresh, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
