"""What a solved notebook was made from, and which built notebooks no longer match it."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons.notebooks import as_text, learner_notebook, solved_notebook

# They prove the checks, or gather what is done, and say nothing in a notebook.
UNSEEN = {
    "checks/audit/audit.py",
    "checks/audit/mutants.py",
    "checks/learner/export.py",
    "checks/learner/validate.py",
    "checks/__init__.py",
    "checks/__main__.py",
}


def digest(root: Path, stem: str) -> str:
    """SHA-256 over everything the outputs of the solved notebook come from.

    Later lessons' modules are left out, and what only gathers the lessons: a new lesson leaves the
    earlier notebooks fresh. The wrong answers count: lessons show some of them.
    """
    found = hashlib.sha256()
    for path in _sources(root, stem):
        name = path.relative_to(root).as_posix()
        # Read as text: line ends differ between a checkout on Windows and one on Linux.
        found.update(f"{name}\0{path.read_text(encoding='utf-8')}\0".encode())
    return found.hexdigest()


def _sources(root: Path, stem: str) -> Iterator[Path]:
    yield root / "lessons" / f"{stem}.py"
    yield root / "requirements.txt"
    for folder in ("solutions", "checks", "helpers"):
        for path in sorted((root / folder).rglob("*.py")):
            inside = path.relative_to(root)
            # A module belongs to the lesson that its own name or a folder's starts with.
            lesson = max(lesson_number(part) for part in inside.parts)
            if inside.as_posix() not in UNSEEN and lesson <= lesson_number(stem):
                yield path


def lesson_number(stem: str) -> int:
    """The lesson a module belongs to: 1 for `d1_moe`, 0 for a module of all lessons."""
    found = re.match(r"d(\d+)_", stem)
    return int(found.group(1)) if found else 0


def stale_learner(root: Path, stem: str) -> bool:
    """Whether `notebooks/<stem>.ipynb` is not what its lesson makes now."""
    wanted = as_text(learner_notebook(root, stem))
    try:
        return (root / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8") != wanted
    except (OSError, UnicodeDecodeError):
        return True


def stale_solved(root: Path, stem: str) -> str | None:
    """Why `solutions/<stem>.ipynb` must be executed again, or None. Nothing is executed."""
    wanted = solved_notebook(root, stem)
    try:
        found = nbformat.read(root / "solutions" / f"{stem}.ipynb", as_version=4)
    except FileNotFoundError:
        return "is missing"
    except Exception:  # nbformat passes on whatever a broken file makes it trip over
        return "is not a notebook"
    if found.metadata.get("course", {}).get("digest") != digest(root, stem):
        return "was executed with other sources"
    return None if _cells(found) == _cells(wanted) else "has cells that its lesson does not make"


def _cells(notebook: NotebookNode) -> list[tuple]:
    return [(cell.cell_type, cell.get("id"), cell.metadata, cell.source) for cell in notebook.cells]
