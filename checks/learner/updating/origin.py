"""What a notebook was copied from: the kept base, or what its own cells still tell of it."""

import ast
from collections.abc import Mapping, Sequence
from copy import deepcopy

from checks.learner.updating.cells import (
    DEFINITIONS,
    Cell,
    is_exercise,
    part,
    said,
    same,
    untouched,
)
from checks.learner.updating.order import woven
from checks.learner.updating.pairing import pairs, with_answers


def fits(base: Sequence[Cell], mine: Sequence[Cell]) -> bool:
    """Whether `mine` can have been made from `base`: all of the course's text in it is there.

    It does not where a notebook was brought from another folder, or an update broke off.
    """
    known = {said(cell) for cell in base}
    return all(said(cell) in known for cell in mine if untouched(cell))


def origin(mine: Sequence[Cell], new: Sequence[Cell], answered: Mapping[str, int]) -> list[Cell]:
    """The cells that `mine` was made from, as far as it tells, where no base was kept.

    A text is known by its id, the digest of what it said. Of an exercise or a check that differs
    from the new one nobody knows who changed it: it stands here empty, so that both are kept.
    """
    paired = with_answers(pairs(new, mine), new, answered)
    known: dict[object, Cell] = {j: _before(mine[i], new[j]) for i, j in paired.items()}
    known |= {("mine", i): c for i, c in enumerate(mine) if i not in paired and untouched(c)}
    keys = [paired.get(i, ("mine", i)) for i in range(len(mine))]
    return [deepcopy(known[key]) for key in woven(range(len(new)), keys) if key in known]


def _before(mine: Cell, new: Cell) -> Cell:
    if same(mine, new) or not part(new):
        return new
    if is_exercise(new) and asks_the_same(mine.source, new.source):
        return new
    return Cell(deepcopy(new), source="")


def asks_the_same(answer: str, stub: str) -> bool:
    """Whether the answer still has the stub's signatures and docstrings."""
    try:
        return _asked(stub).items() <= _asked(answer).items()
    except (SyntaxError, ValueError):
        return False


def _asked(source: str) -> dict[str, tuple[str, str | None]]:
    """Signature and docstring of each function and class, by its name."""
    scopes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)]
    return {node.name: (_signature(node), ast.get_docstring(node)) for node in scopes}


def _signature(node: ast.AST) -> str:
    if isinstance(node, ast.ClassDef):
        return " ".join(map(ast.unparse, node.bases))
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return ast.unparse(node.args) + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
