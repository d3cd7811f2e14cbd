"""A lesson of two exercises in two versions, and a learner's folder to update."""

import hashlib
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from checks.learner_files import paths

STEM = "d1_moe"
ONE = 'def one(x):\n    """Returns 1."""\n    raise NotImplementedError'
TWO = 'def two(x):\n    """Returns 2."""\n    raise NotImplementedError'
TWO_ANEW = 'def two(x, y):\n    """Returns 2, whatever y is."""\n    raise NotImplementedError'
MY_ONE = 'def one(x):\n    """Returns 1."""\n    return 1  # as asked'
MY_TWO = 'def two(x):\n    """Returns 2."""\n    return one(x) + 1'


def text(source: str) -> NotebookNode:
    return new_markdown_cell(source, id=digest(source))


def code(source: str, **metadata) -> NotebookNode:
    return new_code_cell(source, id=digest(source), metadata=metadata)


def digest(source: str) -> str:
    """The id of a cell that is no exercise's, as lessons/notebooks.py makes it."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def exercise(name: str, source: str) -> NotebookNode:
    metadata = {"tags": ["exercise"], "exercise": name}
    return new_code_cell(source, id=f"exercise-{name.replace('.', '-')}", metadata=metadata)


def check(name: str, source: str) -> NotebookNode:
    metadata = {"tags": ["check"], "exercise": name}
    return new_code_cell(source, id=f"check-{name.replace('.', '-')}", metadata=metadata)


def first() -> list[NotebookNode]:
    """The lesson as the learner copied it."""
    return [
        text("# The lesson"),
        code("import torch", tags=["setup"]),
        text("Before the first: one token, one router."),
        exercise("D1.1", ONE),
        check("D1.1", "check_one(one)"),
        text("Between them, a picture of loads."),
        code("print(one(0))"),
        exercise("D1.2", TWO),
        check("D1.2", "check_two(two)"),
        text("An end that will go."),
    ]


def second() -> list[NotebookNode]:
    """The same, newer: a text and the set-up changed, one exercise changed, one text gone."""
    return [
        text("# The lesson"),
        code("import torch\nimport math", tags=["setup"]),
        text("What a router does, told anew."),
        text("Before the first: one token, one better router."),
        exercise("D1.1", ONE),
        check("D1.1", "check_one(one)"),
        text("Between them, a picture of loads."),
        code("print(one(0))"),
        exercise("D1.2", TWO_ANEW),
        check("D1.2", "check_two(two)"),
    ]


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    return new_notebook(cells=deepcopy(cells), metadata={"language_info": {"name": "python"}})


def as_file(cells: list[NotebookNode]) -> bytes:
    return (nbformat.v4.writes(notebook(cells)) + "\n").encode()


class SmallCourse:
    """A project's folder: `release` brings a newer lesson, `save` what the learner has of it."""

    def __init__(self, root: Path):
        self.root, self.work = root, paths.WORK
        self.release(first())
        self.mine.parent.mkdir()
        self.save(first())
        self.base.parent.mkdir(parents=True)
        self.base.write_bytes(as_file(first()))

    @property
    def mine(self) -> Path:
        return self.work / f"{STEM}.ipynb"

    @property
    def base(self) -> Path:
        return self.work / ".course" / "base" / f"{STEM}.ipynb"

    def release(self, cells: list[NotebookNode], stem: str = STEM) -> None:
        (self.root / "notebooks").mkdir(exist_ok=True)
        (self.root / "notebooks" / f"{stem}.ipynb").write_bytes(as_file(cells))

    def save(self, cells: list[NotebookNode]) -> None:
        self.mine.write_bytes(as_file(cells))

    def cells(self) -> list[NotebookNode]:
        """As they lie there, valid or not."""
        return nbformat.reader.reads(self.mine.read_text(encoding="utf-8-sig")).cells

    def sources(self) -> list[str]:
        return [cell.source for cell in self.cells()]

    def backups(self) -> list[Path]:
        return sorted((self.work / ".course" / "backups").glob("*"))
