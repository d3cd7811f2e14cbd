"""What an answer prints while it is graded: the first lines, and how many more there were."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

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
        with redirect_stdout(first):  # type: ignore[type-var]
            yield
    finally:
        if first.lines > SHOWN:
            print(f"… your code printed {first.lines - SHOWN:,} more lines")
