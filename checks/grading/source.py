"""The source of a function or class, also of a class that lives in the running notebook."""

import ast
import dis
import functools
import html
import inspect
import linecache
from types import CodeType, FunctionType
from typing import Any

from helpers.solution_markers import BEGIN, END


def source_of(answer: Any) -> str | None:
    """The text that defined `answer`, without solution fences, or None where there is none."""
    text = _class_source(answer) if isinstance(answer, type) else _function_source(answer)
    if text is None:
        return None
    lines = inspect.cleandoc("\n" + text).splitlines()
    return "\n".join(line for line in lines if line.strip() not in (BEGIN, END))


def _function_source(answer: Any) -> str | None:
    try:
        return inspect.getsource(answer)
    except Exception:  # no source, or one that changed since it ran
        return None


def functions_of(answer: Any) -> list[FunctionType]:
    """The plain functions an answer consists of: itself, or its class's methods and its bases'."""
    function = undecorated(answer)
    if function is not None:
        return [function]
    cls = answer if issubclass(type(answer), type) else type(answer)
    return [method for base in cls.__mro__ for method in methods_of(base)]


def methods_of(cls: type) -> list[FunctionType]:
    """The plain functions of a class body, in the order they stand there."""
    found = (undecorated(member) for member in vars(cls).values())
    return [function for function in found if function is not None]


def undecorated(member: Any) -> FunctionType | None:
    """The function under any decorators, or None: a class body may hold anything."""
    wrapped: Any = member.fget if type(member) is property else member
    try:
        inner = inspect.unwrap(wrapped)
    except Exception:
        return None
    return inner if type(inner) is FunctionType else None


def _class_source(cls: type) -> str | None:
    """`inspect.getsource` fails on classes of a notebook; their methods know cell and line."""
    for method in methods_of(cls):
        code = method.__code__
        text = "".join(linecache.getlines(code.co_filename))
        found = _definition(text, cls.__name__, code.co_firstlineno)
        if found:
            return found
    return None


def _definition(text: str, name: str, line: int) -> str | None:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # the file changed since it ran
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return None


def codes_of(answer: object) -> set[CodeType]:
    """The code objects of an answer's functions."""
    return {function.__code__ for function in functions_of(answer)}


def value_read_as(name: str, answer: object, default: object) -> object:
    """What the global `name` means in the code of `answer`; None where that does not read it."""
    for function in functions_of(answer):
        if name in globals_read(function.__code__):
            return function.__globals__.get(name, default)
    return None


@functools.lru_cache(maxsize=1024)
def globals_read(code: CodeType) -> tuple[str, ...]:
    """The names that code reads as globals, and the code in it, each once, in its order."""
    steps = (step for step in dis.get_instructions(code) if step.opname in _READS_A_GLOBAL)
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    nested = (name for part in inner for name in globals_read(part))
    return tuple(dict.fromkeys([*(step.argval for step in steps), *nested]))


_READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")


class Source:
    """Code to look at: plain in a terminal, a block in a notebook."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre style='line-height:1.3'>{html.escape(self.text)}</pre>"
