"""What a check says: a panel when all stages pass, one short message when one does not."""

import html
import re
import textwrap
from dataclasses import dataclass, field
from typing import Any, Literal

from checks.learner_files import under_nbgrader

Built = Any  # what an answer makes or returns: anything, until a stage has looked at it
State = Literal["passed", "unwritten", "wrong", "raised", "stopped", "borrowed"]

WIDTH = 88  # characters that fit on a line in JupyterLab's notebook
RED, BOLD, _END = "\x1b[31m", "\x1b[1m", "\x1b[0m"  # a failure's head, and its message


class Wrong(Exception):
    """Inside a stage: the answer is not right. The message says what was expected and came."""


class Asked(Exception):
    """Inside a stage: the answer raised the cause of this, and the question tells why it may."""


class Elsewhere(Exception):
    """Inside a stage: the answer ended so in another process, at `place` in the learner's code."""

    def __init__(self, state: State, said: str = "", place: str = ""):
        super().__init__(said)
        self.state, self.said, self.place = state, said, place


@dataclass(frozen=True)
class CheckResult:
    """A pass. What it shows is equal on every run; `details` holds seed, sizes and seconds."""

    exercise: str
    name: str
    stages: tuple[str, ...]
    cases: int
    state: State = "passed"
    details: dict = field(default_factory=dict, repr=False)

    @property
    def passed(self) -> bool:
        return True

    def __repr__(self) -> str:
        word = "borrowed from the reference, and it passes" if self.borrowed else "passed"
        head = f"✓ {self.exercise} {self.name}: {word} ({self.cases} cases per stage)"
        return "\n".join([head, *(f"  ✓ {stage}" for stage in self.stages)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows as text: `repr`, and to nbgrader the points."""
        printer.text(str(under_nbgrader.POINTS) if under_nbgrader.is_grading() else repr(self))

    @property
    def borrowed(self) -> bool:
        return self.state == "borrowed"

    def _repr_html_(self) -> str:
        head, *stages = (html.escape(line.strip()) for line in repr(self).splitlines())
        rows = "".join(f"<div style='margin-left:1.2em'>{stage}</div>" for stage in stages)
        return (
            "<div style='border-left:4px solid #2a9d8f;padding:.3em .8em'>"
            f"<b>{head}</b>{rows}</div>"
        )


class CheckFailed(Exception):
    """A check that did not pass. `.state` says how, `.stage` where, `.details` with what numbers.

    It `.lasts` where the same answer would fail again: not for want of time, memory or a module.
    IPython shows `lines` instead of a traceback; `str()` makes sense alone.
    """

    def __init__(
        self,
        exercise: str,
        name: str,
        state: State,
        message: str,
        *,
        stage: str | None = None,
        lines: tuple[str, ...] = (),
        details: dict | None = None,
        lasts: bool = True,
    ):
        super().__init__(f"{exercise} {name}: {message}")
        self.exercise, self.name, self.state, self.message = exercise, name, state, message
        self.stage, self.lines, self.details = stage, lines, details or {}
        self.lasts = lasts and state != "stopped"

    @property
    def passed(self) -> bool:
        return False

    def _render_traceback_(self) -> list[str]:
        if self.state == "unwritten" and not self.lines:
            return [str(self)]
        where = f" · {self.stage}" if self.stage else ""
        head = f"{RED}✗ {self.exercise} {self.name}{where}{_END}"
        message = [f"{BOLD}{line}{_END}" for line in _broken(self.message)]
        return [head, *message, *(part for line in self.lines for part in _broken(line))]


def _broken(text: str) -> list[str]:
    """The text in indented lines that end between words: JupyterLab breaks longer ones anywhere."""
    text = re.sub("([✓✗]) ", "\\1\N{NO-BREAK SPACE}", text)  # no line ends in a tick
    indents: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "  "}
    return textwrap.wrap(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False)
