"""What a solved notebook was made from, and which built notebooks no longer match it."""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons import closure
from lessons.colab import colab_notebook
from lessons.notebooks import as_text, learner_notebook, solved_notebook
from lessons.stored_studies import is_stale, read_by

# What learners get, by folder: to run at home, and in Google Colab.
LEARNERS = {"notebooks": learner_notebook, "colab": colab_notebook}


def digest(root: Path, stem: str) -> str:
    """SHA-256 over everything the outputs of the solved notebook come from.

    That is what its lesson imports, through others, the studies it reads, and the pins. Later
    lessons are left out even where they are loaded by name: a new lesson leaves the earlier
    notebooks fresh.
    """
    starts = [root / "lessons" / f"{stem}.py", *_bank(root, stem)]
    sources = closure.closure(root, starts, stems_up_to(root, stem))
    read = [path for path in read_by(root, stem) if path.is_file()]
    return closure.digest(root, [root / "requirements.txt", *sources, *read])


def _bank(root: Path, stem: str) -> list[Path]:
    """The wrong answers to the lesson's own exercises, some of which it shows."""
    return sorted((root / "checks" / "audit" / "bank" / stem).rglob("*.py"))


def stems(root: Path) -> list[str]:
    """The lessons of the course at `root`, first to last."""
    found = sorted(path.stem for path in (root / "lessons").glob("d*.py"))
    return [stem for stem in found if re.match(r"d\d+_", stem)]


def stems_up_to(root: Path, stem: str) -> list[str]:
    """The lesson `stem` and those before it."""
    found = stems(root)
    return found[: found.index(stem) + 1]


def stale_studies(root: Path, stem: str) -> list[str]:
    """The stored studies that the lesson reads and that were made from other sources."""
    return [path.stem for path in read_by(root, stem) if is_stale(path.stem, root)]


def stale_learner(root: Path, stem: str) -> list[str]:
    """The folders whose `<stem>.ipynb` is not what its lesson makes now."""
    made = {folder: as_text(make(root, stem)) for folder, make in LEARNERS.items()}
    return [folder for folder, text in made.items() if _text(root / folder, stem) != text]


def _text(folder: Path, stem: str) -> str:
    try:
        return (folder / f"{stem}.ipynb").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


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
