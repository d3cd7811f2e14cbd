"""What an answer prints while it is graded: the first lines, and how many more there were."""

import sys
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from typing import TextIO

from checks.learner_files import under_nbgrader

SHOWN = 10  # lines


class _FirstLines:
    """Hands the first lines on to `stream` and counts the rest."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lines = 0

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            if self.lines < SHOWN:
                self._stream.write(line)
            self.lines += line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def few_lines() -> Iterator[None]:
    """Prints the first ten lines of what is printed within, and then how many more there were."""
    first = _FirstLines(sys.stdout)
    try:
        with redirect_stdout(first), _warnings_to(first):  # type: ignore[type-var]
            yield
    finally:
        if first.lines > SHOWN:
            print(f"… your code printed {first.lines - SHOWN:,} more lines")


def _warnings_to(first: _FirstLines) -> AbstractContextManager:
    """Under nbgrader a warning is printed as well, since it would count as a failure."""
    if under_nbgrader.is_grading():
        return redirect_stderr(first)  # type: ignore[type-var]
    return nullcontext()
