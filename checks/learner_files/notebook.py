"""A learner's notebook as it lies on the disk: its cells, and which of them only define things."""

import ast
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

from checks.learner_files.plain_python import plain


class UnreadableNotebook(ValueError):
    """The file is no notebook; the message says what to do."""


@dataclass(frozen=True)
class CodeCell:
    """A code cell; `role` is setup, exercise, check or plain, `exercise` the id of the last two."""

    source: str
    role: str
    exercise: str | None

    def is_of(self, exercise: str) -> bool:
        """Whether it is tagged as a cell of this exercise."""
        return self.role == "exercise" and self.exercise == exercise

    @cached_property
    def python(self) -> str:
        """Its Python, without what only a notebook can run."""
        return plain(self.source)[0]

    @property
    def left_out(self) -> list[str]:
        """The lines that only a notebook can run, as they stand there."""
        return plain(self.source)[1]

    @cached_property
    def tree(self) -> ast.Module:
        """Its statements; none where it has a syntax error."""
        try:
            return ast.parse(self.python)
        except (SyntaxError, ValueError):
            return ast.Module(body=[], type_ignores=[])

    @property
    def only_defines(self) -> bool:
        """Whether running it does nothing but import and define functions and classes."""
        body = self.tree.body
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        kinds = ast.Import | ast.ImportFrom | functions | ast.ClassDef
        return bool(body) and all(isinstance(node, kinds) for node in body)


def read(path: Path) -> list[CodeCell]:
    """The code cells of the notebook at `path`; `UnreadableNotebook` where there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
        notebook = nbformat.reads(text, as_version=4)
        return [_cell(cell) for cell in notebook.cells if cell.cell_type == "code"]
    except FileNotFoundError:
        raise UnreadableNotebook(
            f"{path.name} is not in work/: `python3 course.py lab` copies it there"
        ) from None
    except Exception as error:  # nbformat raises many kinds for a file that is not a notebook
        raise UnreadableNotebook(_advice(path, error)) from None


def _advice(path: Path, error: Exception) -> str:
    """Why the file is no notebook, by line where that is known, and what loses nothing."""
    said = f"{path.name} in work/ cannot be read as a notebook"
    lines = path.read_bytes().decode("utf-8", "replace").splitlines() if path.is_file() else []
    conflicts = [i for i, line in enumerate(lines, start=1) if line.startswith("<<<<<<< ")]
    if conflicts:
        return (
            f"{said}: git's conflict markers begin in line {conflicts[0]}. Copy the file aside, "
            "then keep one side of each conflict in a text editor and delete the marked lines"
        )
    kept = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    older = f"take {kept.name} from work/.ipynb_checkpoints, or " if kept.is_file() else ""
    return (
        f"{said} ({_where(lines, error)}). Move it aside, then {older}let `python3 course.py lab` "
        "copy a fresh one and paste your cells from the old file, which any text editor opens"
    )


def _where(lines: list[str], error: Exception) -> str:
    try:
        json.loads("\n".join(lines).removeprefix("\ufeff"))
    except json.JSONDecodeError as broken:
        return f"line {broken.lineno}: {broken.msg}"
    except RecursionError:
        pass
    return type(error).__name__


def _cell(cell: nbformat.NotebookNode) -> CodeCell:
    tags = cell.metadata.get("tags", [])
    role = next((role for role in ("setup", "exercise", "check") if role in tags), "plain")
    return CodeCell(cell.source, role, cell.metadata.get("exercise"))
