"""An exercise's code, taken from its solution module: whole, or with the asked lines removed."""

import ast

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


def source_of(module: str, name: str) -> str:
    """The text of the top-level function or class `name` in the text of `module`, with fences.

    Decorators and the comments that end its body belong to it. Nothing is executed. Raises a
    ValueError unless `module` has that name.
    """
    for node in ast.parse(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            lines = module.split("\n")
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(lines[first - 1 : _end(lines, node.end_lineno or first)])
    raise ValueError(f"it has no top-level function or class {name}")


def _end(lines: list[str], end: int) -> int:
    # The syntax tree stops at the last statement, before a comment such as the fence's end.
    for number, line in enumerate(lines[end:], start=end + 1):
        if line.startswith(" ") and line.strip():
            end = number
        elif line.strip():
            break
    return end


def solved(source: str) -> str:
    """`source` without the two comments around its solution."""
    lines = source.split("\n")
    marks = {number for fence in spans(lines) for number in fence}
    return "\n".join(line for number, line in enumerate(lines) if number not in marks)


def stub(source: str) -> str:
    """`source` with each fence replaced by `raise NotImplementedError`, indented as the fence."""
    lines = source.split("\n")
    for begin, end in reversed(spans(lines)):
        lines[begin : end + 1] = [lines[begin].replace(BEGIN, "raise NotImplementedError")]
    emptied = "\n".join(lines)
    try:
        ast.parse(emptied)
    except SyntaxError as error:
        raise ValueError(f"its fence leaves text that is not Python ({error})") from None
    return emptied


def spans(lines: list[str]) -> list[tuple[int, int]]:
    """The first and last line of each fence, as indices into `lines`.

    Raises a ValueError unless there are one to three fences, in order and not empty.
    """
    marks = [n for n, line in enumerate(lines) if "BEGIN SOLUTION" in line or "END SOL" in line]
    if [lines[n].strip() for n in marks] not in [[BEGIN, END] * count for count in (1, 2, 3)]:
        raise ValueError(f"it needs one to three fences of `{BEGIN}` and `{END}`")
    pairs = list(zip(marks[::2], marks[1::2], strict=True))
    if any(end == begin + 1 for begin, end in pairs):
        raise ValueError("its fence is empty")
    return pairs
