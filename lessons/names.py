"""The global names that a cell of a notebook needs from before it, and those it leaves behind."""

import builtins
import dis
from collections.abc import Iterator
from types import CodeType

from IPython.core.inputtransformer2 import TransformerManager

# What IPython and the compiler put beside the builtins.
GIVEN_NAMES = {*dir(builtins), "get_ipython", "display", "__annotations__"}


def reads_and_binds(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell needs from before it, and those it leaves behind.

    The body of a function reads its names late: the cell that defines it may bind them after.
    """
    code = compile(TransformerManager().transform_cell(source), "<cell>", "exec")
    reads, binds = set[str](), set[str]()
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_NAME":
            reads |= {step.argval} - binds
        elif step.opname == "STORE_NAME":
            binds.add(step.argval)
    late = _named(code, "LOAD_GLOBAL")
    for inner in _nested(code):
        binds |= _named(inner, "STORE_GLOBAL")
        late |= _named(inner, "LOAD_GLOBAL", "LOAD_FROM_DICT")
        late |= _named(inner, "LOAD_NAME") - _named(inner, "STORE_NAME")
    return (reads | late - binds) - GIVEN_NAMES, binds


def _nested(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _nested(inner)


def _named(code: CodeType, *operations: str) -> set[str]:
    return {s.argval for s in dis.get_instructions(code) if s.opname.startswith(operations)}
