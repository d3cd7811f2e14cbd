"""Verdicts that are remembered for as long as nothing is redefined that the answer reads."""

import sys
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Generic, TypeVar

import torch

from checks.grading.source import globals_read, undecorated
from checks.grading.traceback import is_learners

MOST = 16  # verdicts of a check; the oldest is forgotten first
Verdict = TypeVar("Verdict")
Read = list[object]


class Verdicts(Generic[Verdict]):
    """What was found of answers, by `read_by(answer)` of before they were judged."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], tuple[Read, Verdict]] = {}

    def __contains__(self, read: Read | None) -> bool:
        return read is not None and _ids(read) in self._kept

    def __getitem__(self, read: Read) -> Verdict:
        return self._kept[_ids(read)][1]

    def __setitem__(self, read: Read | None, verdict: Verdict) -> None:
        """Kept, with all that was read: as long as that lives, nothing else has its identity."""
        if read is not None:
            self._kept[_ids(read)] = read, verdict
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]


def _ids(read: Read) -> tuple[int, ...]:
    return tuple(map(id, read))


class _MayChange(Exception):
    """The answer reads something that can change without being redefined."""


def read_by(answer: object) -> Read | None:
    """The answer and all objects that its code reads, and so on, in the order of the code.

    A second call returns the same objects unless something was redefined in between. None where
    the code reads something that can change in place, such as a list or a tensor. Python, its
    packages and `helpers` count as constant.
    """
    read: Read = []
    try:
        _follow(answer, read, set())
    except _MayChange:
        return None
    return read


_CONSTANT = (
    *(type(None), type(...), bool, int, float, complex, str, bytes, range),
    *(CodeType, BuiltinFunctionType, torch.dtype, torch.device, torch.layout),
)


def _follow(value: object, read: Read, seen: set[int]) -> None:
    """Append the value, and once only what it reads."""
    read.append(value)
    if id(value) not in seen:
        seen.add(id(value))
        for inner in _read_directly(value):
            _follow(inner, read, seen)


def _read_directly(value: Any) -> Iterable[object]:
    kind = type(value)  # isinstance would ask the value itself
    if kind in _CONSTANT:
        return ()
    if kind is FunctionType:
        return _read_by_function(value)
    if issubclass(kind, type):
        return _read_by_class(value)
    if kind in (tuple, frozenset):
        return value
    if kind is ModuleType and not _is_learners_module(value.__name__):
        return ()
    raise _MayChange


def _read_by_function(function: FunctionType) -> Iterator[object]:
    inner = undecorated(function)
    if inner is not function:
        yield inner
    if is_learners(function.__code__.co_filename):
        yield function.__code__
        yield from (cell.cell_contents for cell in function.__closure__ or ())
        yield from (function.__defaults__ or (), *(function.__kwdefaults__ or {}).values())
        for name in globals_read(function.__code__):
            yield function.__globals__.get(name)  # None as for a builtin


def _read_by_class(cls: type) -> Iterator[object]:
    if not _is_learners_module(cls.__module__):
        return
    yield cls.__bases__
    for name, member in vars(cls).items():
        function = undecorated(member)
        if function is not None:
            yield function
        elif not name.startswith("__"):
            yield member


def _is_learners_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "__main__" or not file:
        return name not in sys.builtin_module_names
    return is_learners(file)
