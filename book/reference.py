"""A page for a module of the reference: its docstrings, by class and function, from the source."""

import ast
from collections.abc import Iterator

Definition = ast.ClassDef | ast.FunctionDef


def page(name: str, source: str) -> str:
    """Markdown for the module `name`; nothing is imported."""
    module = ast.parse(source)
    sections = [_section(node, "##") for node in module.body if isinstance(node, Definition)]
    return "\n\n".join([f"# `{name}`", _docstring(module), *sections]) + "\n"


def _section(node: Definition, level: str) -> str:
    head = f"{level} {node.name}\n\n```python\n{signature(node)}\n```"
    methods = [_section(method, f"{level}#") for method in _methods(node)]
    return "\n\n".join(filter(None, [head, _docstring(node), *methods]))


def _methods(node: Definition) -> Iterator[ast.FunctionDef]:
    """The methods that say something."""
    for inner in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(inner, ast.FunctionDef) and _docstring(inner):
            yield inner


def signature(node: Definition) -> str:
    """The first line of a class, with its constructor's, or of a function."""
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"def {node.name}({ast.unparse(node.args)}){returns}"
    bases = ", ".join(map(ast.unparse, node.bases))
    functions = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
    made = [f"    {signature(inner)}" for inner in functions if inner.name == "__init__"]
    return "\n".join([f"class {node.name}({bases})", *made])


def _docstring(node: ast.Module | Definition) -> str:
    return ast.get_docstring(node) or ""
