"""One learner's notebooks inside their own process: copied to `work/`, without what ended one."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nbformat

import checks
from checks.learner.class_report.rows import Row
from checks.learner_files import paths
from checks.learner_files.answers import answers
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read
from helpers.atomic_file import write_atomically


@dataclass
class HandedIn:
    """The notebooks' bytes by lesson, the rows known so far, and each step that ended a process.

    A step is `read LESSON`, `cell LESSON NUMBER`, `set-up LESSON` or `check EXERCISE`; with it
    stands, in half a sentence for each time, why the process ended there.
    """

    notebooks: dict[str, bytes]
    rows: dict[str, Row]
    fatal: dict[str, list[str]]

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "HandedIn":
        notebooks = {k: base64.b64decode(text) for k, text in job["notebooks"].items()}
        rows = {exercise: Row.of(row) for exercise, row in job["rows"].items()}
        return cls(notebooks, rows, dict(job["fatal"]))

    def why_not(self, lesson: str) -> tuple[str, str] | None:
        """State and message of all exercises of a lesson that cannot be run; None of any other."""
        if lesson not in self.notebooks:
            return "missing", f"No {lesson}.ipynb was handed in."
        if reasons := self.fatal.get(f"read {lesson}"):
            return "unreadable", f"Reading {lesson}.ipynb {reasons[-1]}."
        reasons = self.fatal.get(f"set-up {lesson}", [])
        if len(reasons) > 1:  # the second time without anything of earlier lessons
            return "not run", f"The set-up cell of {lesson}.ipynb {reasons[-1]}."
        return None

    def copy(self, lesson: str) -> list[CodeCell]:
        """The code cells as they were handed in; in `work/` they lie without those left out.

        Raises `UnreadableNotebook` where it is none, and then leaves nothing in `work/`.
        """
        path = paths.WORK / f"{lesson}.ipynb"
        paths.WORK.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.notebooks[lesson])
        try:
            cells = read(path)
        except UnreadableNotebook:
            path.unlink()
            raise
        if numbers := self._left_out(lesson, cells):
            write_atomically(path, _without(self.notebooks[lesson], numbers))
        return cells

    def prepare_work(self, lesson: str) -> None:
        """Afterwards `work/` has the notebooks that a lesson carries parts from, as left so far.

        It has none where carrying them has ended a process.
        """
        for earlier in checks.STEMS[: checks.STEMS.index(lesson)]:
            (paths.WORK / f"{earlier}.ipynb").unlink(missing_ok=True)
            if not (self.why_not(earlier) or f"set-up {lesson}" in self.fatal):
                with suppress(UnreadableNotebook):
                    self.copy(earlier)

    def why_left_out(self, lesson: str, exercise: str, cell: int) -> str:
        """Why the answer in a cell runs no more, in half a sentence; "" where it may run."""
        reasons = self.fatal.get(f"check {exercise}") or self.fatal.get(f"cell {lesson} {cell}")
        if reasons:
            return reasons[-1]
        known = self.rows.get(exercise)
        return "never ended" if known and known.state == "stopped" else ""

    def _left_out(self, lesson: str, cells: list[CodeCell]) -> set[int]:
        """The numbers of the cells that ended a process, and of answers that did or never ended."""
        found = answers(cells, {check.id: check.name for check in checks.LESSONS[lesson]})
        numbers = {a.cell for e, a in found.items() if self.why_left_out(lesson, e, a.cell)}
        return numbers | {i for i in range(len(cells)) if f"cell {lesson} {i}" in self.fatal}


def _without(notebook: bytes, numbers: set[int]) -> str:
    """The notebook with empty code cells of these numbers."""
    made = nbformat.reads(notebook.decode("utf-8-sig"), as_version=4)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for number in numbers:
        code[number].source = ""
    return nbformat.writes(made)
