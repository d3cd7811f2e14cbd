"""Which code of a notebook is the learner's answer to an exercise: one rule for every tool.

A notebook runs from top to bottom, so the last cell that defines the exercise's name holds the
answer, wherever it stands. Other cells of the exercise, such as the upper half of a split one, run
before it in their order.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from checks.learner_files.notebook import CodeCell

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Answer:
    """The answer to one exercise: its Python, and where it stands among the code cells.

    `code` is a digest of the definition without comments and docstrings, "" where nothing is
    defined. `choice` says in a sentence what was chosen where there was a choice, and `left_out`
    which lines only a notebook can run.
    """

    source: str
    cell: int
    code: str
    choice: str = ""
    left_out: tuple[str, ...] = ()


def answers(cells: Sequence[CodeCell], names: Mapping[str, str]) -> dict[str, Answer]:
    """The answer to each exercise of `names`, by id; one that has no code at all is left out."""
    found = {exercise: _answer(cells, exercise, name) for exercise, name in names.items()}
    return {exercise: answer for exercise, answer in found.items() if answer is not None}


def definitions(cells: Sequence[CodeCell], found: Mapping[str, Answer]) -> dict[int, CodeCell]:
    """The cells around the answers `found`, by index: set-up, and what only defines something."""
    taken = {answer.cell for answer in found.values()}
    return {
        i: cell
        for i, cell in enumerate(cells)
        if cell.role == "setup" or (cell.role == "plain" and cell.only_defines and i not in taken)
    }


def _answer(cells: Sequence[CodeCell], exercise: str, name: str) -> Answer | None:
    own = [i for i, cell in enumerate(cells) if cell.is_of(exercise)]
    defining = [i for i, cell in enumerate(cells) if _defines(cell, name, i in own)]
    if not own and not defining:
        return None
    last = (defining or own)[-1]
    pieces = [cells[i] for i in own if i < last and i not in defining]
    parts = [*(cell.python for cell in pieces), _part(cells[last], name, last in own)]
    choice = _choice(name, defining, last, last in own)
    lines = tuple(line for cell in (*pieces, cells[last]) for line in cell.left_out)
    return Answer("\n\n".join(parts), last, code_of(parts[-1], name), choice, lines)


def _defines(cell: CodeCell, name: str, is_own: bool) -> bool:
    """Whether the cell gives `name` a meaning; elsewhere only a definition or an import counts."""
    if cell.role in ("setup", "check") or (cell.role == "exercise" and not is_own):
        return False
    return any(name in _bound(node, is_own) for node in _statements(cell.tree))


def _bound(node: ast.stmt, by_assignment: bool) -> list[str]:
    if isinstance(node, SCOPES):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if by_assignment and isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements that run when the cell does, also those below an `if` or a `try`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, SCOPES):
            yield from _statements(child)


def _part(cell: CodeCell, name: str, is_own: bool) -> str:
    """The cell; of one that is not the exercise's and does more, the definition and the imports."""
    if is_own or cell.only_defines:
        return cell.python
    kept = [node for node in cell.tree.body if name in _bound(node, False) or _imports(node)]
    return "\n".join(ast.get_source_segment(cell.python, node) or "" for node in kept)


def _imports(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _choice(name: str, defining: list[int], last: int, is_own: bool) -> str:
    if len(defining) > 1:
        others = " and ".join(str(i + 1) for i in defining)
        return f"code cells {others} define {name}; the last of them counts."
    if not is_own:
        return f"{name} is taken from code cell {last + 1}, which is not its exercise's."
    return ""


def code_of(source: str, name: str) -> str:
    """A digest of the last definition of `name` in `source`, "" where there is none."""
    try:
        nodes = [n for n in _statements(ast.parse(source)) if name in _bound(n, False)]
    except (SyntaxError, ValueError):
        return ""
    definitions = [node for node in nodes if isinstance(node, SCOPES)]
    if not definitions:
        return ""
    return hashlib.sha256(_without_docstrings(definitions[-1]).encode()).hexdigest()[:16]


def _without_docstrings(definition: ast.stmt) -> str:
    for node in ast.walk(definition):
        if isinstance(node, SCOPES) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(definition)
