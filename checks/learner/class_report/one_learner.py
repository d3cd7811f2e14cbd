"""The process of one learner, which `main` is of: it is started with the file of a job.

It runs each lesson's set-up, definitions and exercises, and then the lesson's own checks, as
`validate` does, and tells of every step before it begins: whoever watches knows what a process was
at when it ended. A new one then goes on without that.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from IPython.display import display

import checks
from checks.grading import traceback
from checks.grading.check import Check
from checks.grading.result import CheckFailed
from checks.learner.class_report import confinement
from checks.learner.class_report.channel import Channel
from checks.learner.class_report.deciding import deciding
from checks.learner.class_report.handed_in import HandedIn
from checks.learner.class_report.rows import Row
from checks.learner.shared_names import SharedNames
from checks.learner_files import paths
from checks.learner_files.answers import Answer, answers
from checks.learner_files.notebook import CodeCell, UnreadableNotebook

FOLLOWS = "What is built from it ran with the reference's part."


class Tell(Protocol):
    """Tells news to the process that watches."""

    def __call__(self, **news: object) -> None: ...


def main() -> None:
    """Does the job that the file named in the command line describes, and ends the process."""
    job = json.loads(Path(sys.argv[1]).read_bytes())
    paths.WORK = Path(job["work"])
    if job["loopback"]:
        confinement.raise_loopback()
    confinement.limit(job["memory"], job["counted_apart"])
    confinement.write_only_below(paths.WORK.parent)
    channel = Channel()
    grade(HandedIn.of(job), job["seed"], channel.tell)
    channel.tell(done=True)
    os._exit(0)  # whatever threads of a learner's still run


def grade(handed_in: HandedIn, seed: int, tell: Tell) -> None:
    """Tells a row of every exercise of which `handed_in` has none yet."""
    for lesson in checks.STEMS:
        left = [check for check in checks.LESSONS[lesson] if check.id not in handed_in.rows]
        if left:
            _Grading(lesson, left, handed_in, seed, tell).run()


class _Grading:
    """One lesson's run: what its cells have defined, and why those that raised did not."""

    def __init__(
        self, lesson: str, left: list[Check], handed_in: HandedIn, seed: int, tell: Tell
    ) -> None:
        self.lesson, self.left, self.handed_in = lesson, left, handed_in
        self.seed, self.tell = seed, tell
        self.names = SharedNames()
        self.raised: dict[int, str] = {}

    def run(self) -> None:
        """Tells a row of each exercise that is left."""
        if why_not := self.handed_in.why_not(self.lesson):
            self._tell_all(*why_not)
            return
        self.tell(begin=f"read {self.lesson}")
        try:
            cells = self.handed_in.copy(self.lesson)
        except UnreadableNotebook as error:
            self._tell_all("unreadable", f"{error}.")
            return
        wanted = {check.id: check.name for check in checks.LESSONS[self.lesson]}
        found = answers(cells, wanted)
        self._note_choices(found)
        self.handed_in.prepare_work(self.lesson)
        self._run_cells(deciding(cells, found))
        self._judge(found)

    def _tell_all(self, state: str, message: str) -> None:
        for check in self.left:
            self._tell_row(Row(check.id, state, message=message))

    def _tell_row(self, row: Row) -> None:
        self.handed_in.rows[row.exercise] = row
        self.tell(row=vars(row))

    def _note_choices(self, found: Mapping[str, Answer]) -> None:
        for exercise, answer in found.items():
            if answer.choice:
                self.tell(note=f"{exercise}: {answer.choice}")

    def _run_cells(self, cells: Mapping[int, CodeCell]) -> None:
        """Runs each in its turn. A set-up cell carries parts, and has no limit of its own here."""
        self.names["display"] = display
        for number, cell in cells.items():
            step = f"cell {self.lesson} {number}"
            is_setup = cell.role == "setup"
            if step in self.handed_in.fatal:
                self._note(number, f"it {self.handed_in.fatal[step][-1]}")
                continue
            self.tell(begin=f"set-up {self.lesson}" if is_setup else step)
            if problem := self._run(number, cell):
                self.raised[number] = problem
                self._note(number, problem)

    def _note(self, number: int, problem: str) -> None:
        place = f"Code cell {number + 1} of {self.lesson}.ipynb"
        self.tell(note=f"{place} was left out: {problem.rstrip('.')}.")

    def _run(self, number: int, cell: CodeCell) -> str:
        _go_to_work()
        place = f"<{self.lesson}.ipynb, code cell {number + 1}>"
        module = f"carried_graded_{self.lesson}_{number}"  # as of any part that is carried
        return self.names.run(cell.python, place, module, limited=cell.role != "setup")

    def _judge(self, found: Mapping[str, Answer]) -> None:
        """A row for each exercise; what ends a process or never ends is the reference's then."""
        for check in checks.LESSONS[self.lesson]:
            if check.id in found and self._is_left_out(check, found[check.id]):
                self.names[check.name] = check.reference_answer
        for check in self.left:
            self.names.show_modules()
            row = self._row(check, found.get(check.id))
            self._tell_row(row)
            if row.state == "stopped":
                self.names[check.name] = check.reference_answer

    def _is_left_out(self, check: Check, answer: Answer) -> str:
        return self.handed_in.why_left_out(self.lesson, check.id, answer.cell)

    def _row(self, check: Check, answer: Answer | None) -> Row:
        if answer is None:
            return Row(check.id, "missing", message="The notebook has no cell of this exercise.")
        if why := self._is_left_out(check, answer):
            return Row(check.id, "ended", message=f"It {why}. {FOLLOWS}")
        if check.name not in self.names:
            why = self.raised.get(answer.cell, f"its cell defines no {check.name}")
            return Row(check.id, "raised", message=f"There is no {check.name}: {why}")
        self.tell(begin=f"check {check.id}")
        _go_to_work()
        return judged(check, self.names[check.name], self.seed)


def _go_to_work() -> None:
    """The current folder is `work/`, and there is one for temporary files, whatever a cell did."""
    with suppress(OSError):
        paths.WORK.mkdir(parents=True, exist_ok=True)
        (paths.WORK.parent / "tmp").mkdir(exist_ok=True)
        os.chdir(paths.WORK)


def judged(check: Check, part: object, seed: int) -> Row:
    """What the check says of the part under this seed."""
    try:
        check(part, seed=seed)
    except CheckFailed as failed:
        if failed.state == "unwritten":
            return Row(check.id, "unwritten", seed=seed)
        stage = failed.stage or "signature"
        lines = [failed.message, *failed.lines, *([FOLLOWS] if failed.state == "stopped" else [])]
        return Row(check.id, failed.state, stage, "\n".join(lines), seed=seed)
    except BaseException as error:
        return Row(check.id, "raised", message=traceback.sentence(error), seed=seed)
    return Row(check.id, "borrowed" if part is check.reference_answer else "passed", seed=seed)
