"""The two notebooks of a lesson: the learner's, with emptied exercises, and the solved one."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.atomic_file import write_atomically
from helpers.solution_markers import solved, stub
from lessons.exercise_code import made_of
from lessons.percent import FOLDED, Cell, read_lesson
from lessons.placeholders import filled

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# nbgrader's, of a check: a test that it restores and grades. An exercise has none: nbgrader would
# empty the whole cell, and the halves of a split one would be two of the same id.
GRADED = {
    "grade": True,
    "locked": True,
    "points": 1,
    "schema_version": 3,
    "solution": False,
    "task": False,
}


def learner_notebook(root: Path, stem: str) -> NotebookNode:
    """The notebook a learner gets: fences emptied, `solution-only` cells left out."""
    cells = [cell for cell in _cells(root, stem) if "solution-only" not in cell.tags]
    return _notebook(root, cells, stub)


def solved_notebook(root: Path, stem: str) -> NotebookNode:
    """The notebook with every exercise solved, not executed."""
    return _notebook(root, _cells(root, stem), solved)


def _cells(root: Path, stem: str) -> list[Cell]:
    return filled(root, stem, read_lesson(root / "lessons" / f"{stem}.py"))


def _notebook(root: Path, cells: list[Cell], fill: Callable[[str], str]) -> NotebookNode:
    ids = _ids(cells)
    nodes = [_node(root, cell, ids[n], fill) for n, cell in enumerate(cells)]
    notebook = new_notebook(cells=nodes, metadata=METADATA)
    nbformat.validate(notebook)
    return notebook


def _node(root: Path, cell: Cell, id: str, fill: Callable[[str], str]) -> NotebookNode:
    if cell.kind == "markdown":
        return new_markdown_cell(cell.source, id=id, metadata=_metadata(cell, id))
    source = made_of(root, cell, fill) if "exercise" in cell.tags else cell.source
    return new_code_cell(source, id=id, metadata=_metadata(cell, id))


def _metadata(cell: Cell, id: str) -> dict:
    named = {
        "tags": list(cell.tags),
        "exercise": cell.exercise,
        "jupyter": dict(FOLDED) if cell.folded else None,
        "nbgrader": {**GRADED, "grade_id": id} if "check" in cell.tags else None,
    }
    return {key: value for key, value in named.items() if value}


def _ids(cells: list[Cell]) -> list[str]:
    """One id a cell, from its exercise or its own text: an edit changes no other cell's id."""
    ids: list[str] = []
    for cell in cells:
        kind = "exercise" if "exercise" in cell.tags else "check"
        name = f"{kind}-{cell.exercise}".replace(".", "-") if cell.exercise else _hash(cell.source)
        twins = sum(id == name or id.startswith(f"{name}--") for id in ids)
        ids.append(f"{name}--{twins + 1}" if twins else name)
    return ids


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_text(notebook: NotebookNode) -> str:
    """The notebook as its file's text: sorted keys, one trailing newline."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """The file at `path` holds the notebook; a kill on the way leaves the old file."""
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, as_text(notebook))
