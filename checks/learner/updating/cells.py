"""A notebook's cells as merging sees them: what they say, and by which marks they are known."""

import ast
import hashlib
import re
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode as Cell

from checks.learner_files import notebook
from checks.learner_files.notebook import CodeCell, UnreadableNotebook

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
PART_ID = re.compile(r"(exercise|check)-([A-Z]\d+)-(\w+)")


def load(path: Path) -> Cell:
    """The notebook at `path`; cells of an old format, or of other editors, may have no ids.

    A cell's lines end with `\\n`. Raises `UnreadableNotebook` where the file is no notebook.
    """
    code_cells(path)  # says of a file that is no notebook what to do with it
    loaded = nbformat.convert(nbformat.reader.reads(path.read_text(encoding="utf-8-sig")), 4)
    for number, cell in enumerate(loaded.cells, start=1):
        if not isinstance(cell.get("source"), str):
            raise UnreadableNotebook(f"{path.name} cannot be read: cell {number} holds no text")
        cell.source = cell.source.replace("\r\n", "\n")
        cell.setdefault("metadata", Cell())
    return loaded


def code_cells(path: Path) -> list[CodeCell]:
    """What `notebook.read` returns, silent about ids that lack or come twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return notebook.read(path)


def as_bytes(whole: Cell, cells: list[Cell]) -> bytes:
    """The file of the notebook `whole` with these cells, in a format that has ids."""
    metadata = whole.get("metadata", Cell())
    minor = max(5, whole.get("nbformat_minor", 0))
    filled = Cell(nbformat=4, nbformat_minor=minor, metadata=metadata, cells=with_ids(cells))
    return (nbformat.v4.writes(filled).rstrip("\n") + "\n").encode("utf-8")


def with_ids(cells: list[Cell]) -> list[Cell]:
    """The cells, each with an id of its own: of two with the same one the first keeps it."""
    seen: set[str] = set()
    for cell in cells:
        if not ID.fullmatch(str(cell.get("id", ""))) or cell.id in seen:
            cell.id = uuid.uuid4().hex[:8]
        seen.add(cell.id)
    return cells


def said(cell: Cell) -> tuple[str, str]:
    """What the cell says, without what no reader sees: blanks at the ends of lines."""
    return cell.cell_type, "\n".join(map(str.rstrip, cell.source.split("\n"))).strip("\n")


def same(one: Cell | None, other: Cell | None) -> bool:
    """Whether both are there and say the same, with the same pasted pictures."""
    if one is None or other is None:
        return False
    return said(one) == said(other) and one.get("attachments", {}) == other.get("attachments", {})


def ids(cell: Cell) -> list[str]:
    """Its id, and the one that Colab moved into the metadata."""
    found = [cell.get("id"), cell.metadata.get("id")]
    return [each for each in found if isinstance(each, str)]


def tags(cell: Cell) -> list[str]:
    found = cell.metadata.get("tags")
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []


def part(cell: Cell) -> tuple[str, str] | None:
    """("exercise" or "check", the exercise's id) of such a cell, by its tag, else by its own id."""
    role = next((role for role in ("exercise", "check") if role in tags(cell)), None)
    exercise = cell.metadata.get("exercise")
    if role and isinstance(exercise, str):
        return role, exercise
    found = next(filter(None, map(PART_ID.match, ids(cell))), None)
    return (found[1], f"{found[2]}.{found[3]}") if found and cell.cell_type == "code" else None


def is_exercise(cell: Cell | None) -> bool:
    return cell is not None and (part(cell) or ("",))[0] == "exercise"


def untouched(cell: Cell) -> bool:
    """Whether it is the course's text, of any version: its id is then the digest of what it says.

    Exercises and checks are named by their exercise instead, so nothing is known of them.
    """
    digest = hashlib.sha256(cell.source.encode("utf-8", "replace")).hexdigest()[:12]
    return any(each.split("--")[0] == digest for each in ids(cell))


def defines_only(cell: Cell) -> str:
    """The name of the one function or class that the cell defines, "" if it does more, or less."""
    code = CodeCell(cell.source, "plain", None)
    if cell.cell_type != "code" or not code.only_defines:
        return ""
    names = [node.name for node in code.tree.body if isinstance(node, DEFINITIONS)]
    return names[0] if len(names) == 1 else ""


def exercises(cells: Iterable[Cell]) -> dict[str, Cell]:
    """The exercises' cells, by the exercise's id."""
    found = ((part(cell), cell) for cell in cells)
    return {which[1]: cell for which, cell in found if which and which[0] == "exercise"}


def title(cell: Cell) -> str:
    """Its first line, as far as it fits into a line of a report."""
    line = next((line.strip() for line in cell.source.split("\n") if line.strip()), "(empty)")
    return line if len(line) <= 70 else f"{line[:69]}…"
