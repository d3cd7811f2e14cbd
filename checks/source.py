"""The source of a function or class, also of a class that lives in the running notebook."""

import ast
import html
import inspect
import linecache
from types import CodeType, FunctionType

_FENCE = ("# BEGIN SOLUTION", "# END SOLUTION")


def source_of(answer: object) -> str | None:
    """The text that defined `answer`, without solution fences, or None where there is none."""
    text = _class_source(answer) if isinstance(answer, type) else _function_source(answer)
    if text is None:
        return None
    lines = inspect.cleandoc("\n" + text).splitlines()
    return "\n".join(line for line in lines if line.strip() not in _FENCE)


def _function_source(answer: object) -> str | None:
    try:
        return inspect.getsource(answer)
    except (OSError, TypeError):
        return None


def methods_of(cls: type) -> list[FunctionType]:
    """The plain functions of a class body, in the order they stand there."""
    members = [getattr(member, "__wrapped__", member) for member in vars(cls).values()]
    return [member for member in members if isinstance(member, FunctionType)]


def _class_source(cls: type) -> str | None:
    """`inspect.getsource` fails on classes of a notebook; their methods know cell and line."""
    for method in methods_of(cls):
        code = method.__code__
        text = "".join(linecache.getlines(code.co_filename))
        found = text and _definition(text, cls.__name__, code.co_firstlineno)
        if found:
            return found
    return None


def _definition(text: str, name: str, line: int) -> str | None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= line <= node.end_lineno:
                return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return None


def codes_of(answer: object) -> set[CodeType]:
    """The code objects of a function, or of all methods of a class and its bases."""
    if not isinstance(answer, type):
        return {inspect.unwrap(answer).__code__} if hasattr(answer, "__code__") else set()
    return {method.__code__ for base in answer.__mro__ for method in methods_of(base)}


def namespace_of(answer: object) -> dict:
    """The global names that the answer's own code reads."""
    functions = methods_of(answer) if isinstance(answer, type) else [answer]
    for function in functions:
        if hasattr(function, "__globals__"):
            return function.__globals__
    return {}


class Source:
    """Code to look at: plain in a terminal, a block in a notebook."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre style='line-height:1.3'>{html.escape(self.text)}</pre>"
