"""What validation found, as a table on the page of a GitHub job."""

import html
import os
from collections.abc import Sequence
from pathlib import Path

PASSED, FAILED = "✓ ", "✗ "


def add(lesson: str, lines: Sequence[str]) -> None:
    """Append a table of the lines to the file that GitHub names in a job; elsewhere do nothing."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as page:
            page.write(table(lesson, lines))


def table(lesson: str, lines: Sequence[str]) -> str:
    """Markdown: how many of the lesson's exercises pass, and a row for each of its lines."""
    verdicts = [line for line in lines if line.startswith((PASSED, FAILED))]
    passed = sum(line.startswith(PASSED) for line in verdicts)
    head = f"### {_cell(lesson)}: {passed} of {len(verdicts)} passed\n\n"
    return "".join([head, "| | exercise | |\n|---|---|---|\n", *map(_row, lines), "\n"])


def _row(line: str) -> str:
    mark = line[0] if line.startswith((PASSED, FAILED)) else ""
    name, _, said = line[len(mark) :].strip().partition(": ")
    return f"| {mark} | {_cell(name)} | {_cell(said)} |\n"


def _cell(text: str) -> str:
    """The text as it is, whatever in it means something to Markdown."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{letter}" if letter in "\\`*_|[]~#" else letter for letter in escaped)
