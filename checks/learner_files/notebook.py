"""A learner's notebook as it lies on the disk: its cells, and which of them only define things."""

import ast
from dataclasses import dataclass
from pathlib import Path

import nbformat


class UnreadableNotebook(ValueError):
    """The file is no notebook; the message says what to do."""


@dataclass(frozen=True)
class CodeCell:
    """A code cell; `role` is setup, exercise, check or plain, `exercise` the id of the last two."""

    source: str
    role: str
    exercise: str | None

    @property
    def only_defines(self) -> bool:
        """Whether running it does nothing but import and define functions and classes."""
        try:
            body = ast.parse(self.source).body
        except SyntaxError:
            return False
        kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
        return bool(body) and all(isinstance(node, kinds) for node in body)


def read(path: Path) -> list[CodeCell]:
    """The code cells of the notebook at `path`; `UnreadableNotebook` where there is none."""
    name = path.name
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return [_cell(cell) for cell in cells]
    except FileNotFoundError:
        raise UnreadableNotebook(
            f"{name} is not in work/: `python3 course.py lab` copies it there"
        ) from None
    except Exception as error:  # nbformat raises many kinds for a file that is not a notebook
        raise UnreadableNotebook(
            f"{name} in work/ cannot be read as a notebook ({type(error).__name__}); save it again "
            "in JupyterLab, or move it away and `python3 course.py lab` copies a fresh one"
        ) from None


def _cell(cell: nbformat.NotebookNode) -> CodeCell:
    tags = cell.metadata.get("tags", [])
    role = next((role for role in ("setup", "exercise", "check") if role in tags), "plain")
    return CodeCell(cell.source, role, cell.metadata.get("exercise"))
