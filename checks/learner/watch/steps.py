"""What a saved notebook runs in its order, and what the verdict on each exercise depends on."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from checks.learner_files.answers import SCOPES, Answer, definitions
from checks.learner_files.notebook import CodeCell


@dataclass(frozen=True)
class Step:
    """Code that runs: set-up, what only defines something, or the answer to `exercise`."""

    source: str
    place: str
    exercise: str = ""
    is_setup: bool = False

    @cached_property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.source)
        except (SyntaxError, ValueError):
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names that stand anywhere in it."""
        return frozenset(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))

    @cached_property
    def binds(self) -> frozenset[str]:
        """The notebook's names that it gives a meaning."""
        return frozenset(name for node in _outermost(self._tree) for name in _bound(node))


def steps(cells: Sequence[CodeCell], found: Mapping[str, Answer]) -> list[Step]:
    """The notebook from top to bottom: the answers `found`, set-up and definitions around them."""
    around = definitions(cells, found)
    made: list[Step] = []
    for i, cell in enumerate(cells):
        if i in around:
            setup = cell.role == "setup"
            made.append(Step(cell.python, f"code cell {i + 1}", is_setup=setup))
        answered = [exercise for exercise, answer in found.items() if answer.cell == i]
        made += [Step(found[exercise].source, exercise, exercise) for exercise in answered]
    return made


class Digest(NamedTuple):
    """Of an exercise's own code, and of all the code that its verdict depends on."""

    own: str
    all: str


def digests(run: Sequence[Step], elsewhere: str) -> dict[str, Digest]:
    """The digests of each answered exercise.

    A verdict depends on the exercise's own code, every set-up, `elsewhere`, and what defines the
    names that these read, and so on.
    """
    setup = [step for step in run if step.is_setup]
    made = {}
    for step in run:
        if step.exercise:
            read = _read_by([step, *setup], run)
            code = [elsewhere, *(other.source for other in run if other in read)]
            made[step.exercise] = Digest(_digest(step.source), _digest(step.exercise, *code))
    return made


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()


def _read_by(first: Sequence[Step], run: Iterable[Step]) -> list[Step]:
    """`first`, the steps that define names which these read, and so on."""
    read = list(first)
    for step in read:  # it grows on the way
        read += [other for other in run if other not in read and step.reads & other.binds]
    return read


def _outermost(node: ast.AST) -> Iterator[ast.AST]:
    """What is below the node, and not within a function or class."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, SCOPES):
            yield from _outermost(child)


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, SCOPES):
        return [node.name]
    if isinstance(node, ast.alias):
        return [node.asname or node.name]
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    return []
