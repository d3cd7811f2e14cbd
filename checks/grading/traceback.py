"""Which lines of a traceback are the learner's, and how to say in one sentence what was raised."""

import dis
import linecache
import sysconfig
from collections.abc import Collection
from pathlib import Path
from traceback import walk_tb
from types import CodeType, FrameType

from checks.learner_files.paths import ROOT, is_of_the_checks

_NOT_THE_LEARNERS = (
    ROOT / "helpers",
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")),
)


def is_learners(filename: str) -> bool:
    """Whether a file holds an answer: a notebook's cell, or an answer of the course itself."""
    if filename.startswith(("<frozen", "<__array")) or "site-packages" in filename:
        return False
    if is_checks(filename):
        return False
    return not any(Path(filename).is_relative_to(folder) for folder in _NOT_THE_LEARNERS)


def is_checks(filename: str) -> bool:
    """Whether a file is the machinery of the checks."""
    return is_of_the_checks(Path(filename))


def innermost_code(error: BaseException) -> CodeType:
    """The code whose statement raised."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_code


def raised_by_learner(error: BaseException) -> bool:
    """Whether a `raise` of the learner's raised it, and not Python or a stop button in between."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    raised = dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
    return raised and is_learners(code.co_filename)


def place(error: BaseException, answer: Collection[CodeType] = ()) -> str | None:
    """`line 3, in forward: y = x["a"]`, the learner's innermost line, or None if none is theirs.

    Where that is in a part from elsewhere, the innermost line within `answer` stands before it.
    """
    found: str | None = None
    within: str | None = None
    for frame, number in walk_tb(error.__traceback__):
        if is_learners(frame.f_code.co_filename):
            found = _line(frame.f_code, number)
            within = found if frame.f_code in answer else within
    return found if within in (None, found) else f"{within}; from there {found}"


def called(error: BaseException) -> str:
    """`rotate(x, start)`, the helper of the course within which it was raised, or nothing."""
    for frame, _ in reversed([*walk_tb(error.__traceback__)]):
        code = frame.f_code
        if is_learners(code.co_filename) or is_checks(code.co_filename):
            return ""
        if Path(code.co_filename).is_relative_to(ROOT / "helpers"):
            return f"{code.co_qualname}({', '.join(_arguments(code))})"
    return ""


def _arguments(code: CodeType) -> list[str]:
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [name for name in names if name not in ("self", "cls")]


def place_of_frame(frame: FrameType | None) -> str | None:
    """The same for a call that was stopped while it ran."""
    while frame is not None:
        if is_learners(frame.f_code.co_filename):
            return _line(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


def _line(code: CodeType, number: int) -> str:
    text = linecache.getline(code.co_filename, number).strip()
    return f"line {number}, in {code.co_name}" + (f": {shortened(text, 120)}" if text else "")


def sentence(error: BaseException, limit: int = 300) -> str:
    """The error's type and message on one line, even where `str(error)` itself raises."""
    try:
        text = " ".join(str(error).split())
    except (Exception, SystemExit, GeneratorExit):
        text = "(its message could not be read)"
    text = "".join(letter for letter in text if letter.isprintable())
    name = type(error).__name__
    return f"{name}: {shortened(text, limit)}" if text else name


def shortened(text: str, limit: int) -> str:
    """The text, cut after `limit` letters."""
    return text if len(text) <= limit else text[:limit] + " …"
