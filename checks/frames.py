"""Which lines of a traceback are the learner's, and how to tell of them in one sentence."""

import linecache
import sysconfig
import traceback
from pathlib import Path
from types import CodeType, FrameType

from checks.places import ROOT

_NOT_THE_LEARNERS = tuple(
    str(path)
    for path in (
        *(ROOT / "checks" / name for name in ("answers/bank.py",)),
        ROOT / "helpers",
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("purelib"),
    )
)
_CHECKS = ROOT / "checks"


def is_learners(filename: str) -> bool:
    """Whether a file holds an answer: a notebook's cell, or an answer of the course itself."""
    if filename.startswith(("<frozen", "<__array")) or "site-packages" in filename:
        return False
    if Path(filename).parent == _CHECKS:
        return False
    return not filename.startswith(_NOT_THE_LEARNERS)


def innermost_code(error: BaseException) -> CodeType:
    """The code whose statement raised."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return last.tb_frame.f_code


def place(error: BaseException) -> str | None:
    """`line 3 of forward: y = x["a"]`, the learner's innermost line, or None if none is theirs."""
    for entry in reversed(traceback.extract_tb(error.__traceback__)):
        if is_learners(entry.filename):
            return f"line {entry.lineno} of {entry.name}: {entry.line}"
    return None


def place_of_frame(frame: FrameType | None) -> str | None:
    """The same for a call that was stopped while it ran."""
    while frame is not None:
        name = frame.f_code.co_filename
        if is_learners(name):
            line = linecache.getline(name, frame.f_lineno).strip()
            return f"line {frame.f_lineno} of {frame.f_code.co_name}: {line}"
        frame = frame.f_back
    return None


def sentence(error: BaseException, limit: int = 300) -> str:
    """The error's type and message on one line, even where `str(error)` itself raises."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message could not be read)"
    text = text if len(text) <= limit else text[:limit] + " …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
