"""Mutants: references with one small mistake in the asked lines, which a check must refuse."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import solution_markers

MOST = 15  # per reference; more are thinned out evenly

_SWAPPED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mod,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.GtE: ast.Gt,
}


@dataclass(frozen=True)
class Mutant:
    """A reference with one mistake; `description` is the statement before → after."""

    description: str
    source: str


def mutants(path: Path, name: str) -> list[Mutant]:
    """At most `MOST` mutants of the object `name` in the module at `path`, always the same."""
    source = solution_markers.source_of(path.read_text(encoding="utf-8"), name)
    lines = source.split("\n")
    asked = {n + 1 for begin, end in solution_markers.spans(lines) for n in range(begin + 1, end)}
    tree = ast.parse(source)
    found: dict[str, Mutant] = {}
    for position, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", 0) in asked:
            for change in _changes(node):
                mutant = _mutant(tree, position, change)
                found.setdefault(mutant.source, mutant)
    found.pop(ast.unparse(tree), None)
    every = sorted(found.values(), key=lambda mutant: mutant.description)
    return [every[i * len(every) // MOST] for i in range(MOST)] if len(every) > MOST else every


def _changes(node: ast.AST) -> Iterator[Callable]:
    """The ways to make a mistake in this node, each a function that changes it in place."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _SWAPPED:
        yield lambda node: setattr(node, "op", _SWAPPED[type(node.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        yield lambda node: setattr(node, "ops", [_SWAPPED[type(node.ops[0])]()])
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield lambda node: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda node: setattr(node, "value", node.value + 1)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _replace_by(lambda node: ast.BinOp(ast.Constant(1), ast.Add(), node))
    if isinstance(node, ast.Call):
        yield from _call_changes(node)
    if isinstance(node, ast.If):
        yield lambda node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield lambda node: node.elts.reverse()
    if isinstance(node, ast.Assign | ast.AugAssign):
        yield _replace_by(lambda node: ast.Pass())


def _call_changes(node: ast.Call) -> Iterator[Callable]:
    if isinstance(node.func, ast.Attribute):
        yield _replace_by(lambda node: node.func.value)
    if len(node.args) >= 2:
        yield lambda node: node.args.reverse()
    for i in range(len(node.keywords)):
        yield lambda node, i=i: node.keywords.pop(i)


def _replace_by(made: Callable) -> Callable:
    """A change that puts the node that `made` returns in the place of the one it is called with."""

    def change(node: ast.AST) -> None:
        fresh = made(copy.copy(node))
        kept = {name: getattr(node, name) for name in ("lineno", "end_lineno")}
        node.__class__ = fresh.__class__
        node.__dict__.clear()
        node.__dict__.update(fresh.__dict__, **kept)

    return change


def _mutant(tree: ast.Module, position: int, change: Callable) -> Mutant:
    changed = copy.deepcopy(tree)
    node: Any = list(ast.walk(changed))[position]  # one with a line, a statement or expression
    line = node.lineno
    change(node)
    ast.fix_missing_locations(changed)
    before, after = (_statement(each, line) for each in (tree, changed))
    return Mutant(f"{before} → {after}", ast.unparse(changed))


def _statement(tree: ast.Module, line: int) -> str:
    """The first line of the innermost statement that contains a line."""
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    spans = [(node, node.lineno, node.end_lineno or node.lineno) for node in statements]
    inside = [(last - first, -first, node) for node, first, last in spans if first <= line <= last]
    innermost = min(inside, key=lambda found: found[:2])
    return ast.unparse(innermost[2]).split("\n")[0]
