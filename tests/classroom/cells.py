"""An answer of the bank as a learner's cell: only what it needs, under the exercise's name."""

import ast
import inspect
import sys
from collections.abc import Callable

from checks import LESSONS, Check

Named = dict[str, ast.stmt]


def cell_of(answer: Callable, check: Check) -> str:
    """The source of a cell that defines `check.name` as the bank's `answer`."""
    tree = ast.parse(inspect.getsource(sys.modules[answer.__module__]))
    named = {name: node for node in tree.body for name in _names(node)}
    wanted = _needed(answer.__name__, named)
    others = {each.name for each in _lesson_of(check)} - {check.name}
    nodes = [_kept(node, wanted, others) for node in tree.body if wanted & set(_names(node))]
    kept = [node for node in nodes if node is not None]
    if answer.__name__ != check.name:
        kept = [_Renamed(check.name).visit(node) for node in kept]
    pieces = [ast.unparse(ast.fix_missing_locations(node)) for node in kept]
    pieces += [] if answer.__name__ == check.name else [f"{check.name} = {answer.__name__}"]
    return "\n\n".join(pieces)


class _Renamed(ast.NodeTransformer):
    """The reference under another name, where an answer is built from it: else it calls itself."""

    def __init__(self, name: str) -> None:
        self.name, self.other = name, f"reference_{name}"

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.other, node.ctx) if node.id == self.name else node

    def visit_alias(self, node: ast.alias) -> ast.alias:
        return ast.alias(node.name, self.other) if node.name == self.name else node


def is_in_its_module(answer: Callable) -> bool:
    """Whether the bank defines the answer by its name, and does not make it."""
    tree = ast.parse(inspect.getsource(sys.modules[answer.__module__]))
    return any(answer.__name__ in _names(node) for node in tree.body)


def _lesson_of(check: Check) -> tuple[Check, ...]:
    return next(graded for graded in LESSONS.values() if check in graded)


def _names(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module gives a meaning."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]


def _needed(name: str, named: Named) -> set[str]:
    """The name, and all of the module's that its definition leads to."""
    found: set[str] = set()
    left = [name]
    while left:
        if (each := left.pop()) in found or each not in named:
            continue
        found.add(each)
        node = _without_decorators(named[each])
        left += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return found


def _without_decorators(node: ast.stmt) -> ast.stmt:
    """An answer without the bank's own `@right` or `@wrong`."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        node.decorator_list = [d for d in node.decorator_list if not _enters(d)]
    return node


def _enters(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id in ("right", "wrong")


def _kept(node: ast.stmt, wanted: set[str], others: set[str]) -> ast.stmt | None:
    """The statement; of an import what is wanted, and none of the same lesson's other parts.

    Those are in the notebook already, as the learner's own.
    """
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return node
    gone = others if getattr(node, "module", "") and _is_solution(node) else set()
    named = {(alias.asname or alias.name).partition(".")[0]: alias for alias in node.names}
    node.names = [alias for name, alias in named.items() if name in wanted and name not in gone]
    return node if node.names else None


def _is_solution(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith("solutions.")
