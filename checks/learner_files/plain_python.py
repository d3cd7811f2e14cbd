"""What is left of a notebook's cell outside a notebook: Python, without magics and commands."""

import ast

from IPython.core.inputtransformer2 import TransformerManager

RUN_THEIR_BODY = ("%%time", "%%timeit", "%%capture", "%%prun")  # as Python, in the notebook itself
WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith)
OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def plain(source: str) -> tuple[str, list[str]]:
    """The cell as Python, line by line, and the lines that only a notebook can run.

    Such a line becomes `pass`; a cell whose magic does not run it as Python becomes empty. A cell
    with a syntax error comes back as it is.
    """
    lines = source.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    magic = lines[first].split()[:1] if lines else []
    if magic and magic[0].startswith("%%"):
        if magic[0] not in RUN_THEIR_BODY:
            return "", [lines[first]]
        first += 1
    return _without_commands("\n".join(lines[first:]))


def _without_commands(source: str) -> tuple[str, list[str]]:
    text = TransformerManager().transform_cell(source)
    try:
        statements = [*_commands(ast.parse(text))]
    except (SyntaxError, ValueError):
        return text, []
    lines, left_out = text.splitlines(), []
    for node in statements:
        end = node.end_lineno or node.lineno
        left_out.append(_as_written(source, lines, node.lineno))
        lines[node.lineno - 1 : end] = [" " * node.col_offset + "pass"] + [""] * (end - node.lineno)
    return "\n".join(lines) + "\n", left_out


def _as_written(source: str, lines: list[str], number: int) -> str:
    """The learner's line where the count of lines was kept, else what became of it."""
    own = source.splitlines()
    return (own if len(own) == len(lines) else lines)[number - 1].strip()


def _commands(node: ast.AST, awaits: bool = False) -> list[ast.stmt]:
    """The smallest statements that call IPython, or wait where nothing `awaits` around them."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        inner = _commands(child, awaits or isinstance(child, ast.AsyncFunctionDef))
        if not inner and isinstance(child, ast.stmt) and _only_in_a_notebook(child, awaits):
            inner = [child]
        found += inner
    return found


def _only_in_a_notebook(statement: ast.stmt, awaits: bool) -> bool:
    if isinstance(statement, OWN_SCOPE):
        return False
    nodes = _of_one_scope(statement)
    return any(_is_ipython(node) or (isinstance(node, WAITS) and not awaits) for node in nodes)


def _of_one_scope(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, OWN_SCOPE):
        return []
    return [node, *(n for child in ast.iter_child_nodes(node) for n in _of_one_scope(child))]


def _is_ipython(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "get_ipython"
