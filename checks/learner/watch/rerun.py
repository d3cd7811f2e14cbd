"""One run of a saved notebook: what changed is judged first, up to the first that does not pass."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Literal

import checks
from checks.grading.check import Check
from checks.grading.result import BOLD, RED, CheckFailed, State
from checks.learner.shared_names import SharedNames
from checks.learner.watch.steps import Digest, Step, digests, steps
from checks.learner_files import progress
from checks.learner_files.answers import Answer, answers
from checks.learner_files.board import SYMBOLS
from checks.learner_files.notebook import CodeCell

MOST = 2_000  # characters of what a cell or an answer prints that are shown
END = "\x1b[0m"


@dataclass(frozen=True)
class Job:
    """A saved notebook, and what is known of it already.

    `elsewhere` is a digest of the files it builds on; `before` are the digests of the last save by
    exercise, `passed` all that passed; `at` is the exercise that was shown last.
    """

    lesson: str
    cells: Sequence[CodeCell]
    elsewhere: str = ""
    before: Mapping[str, Digest] = field(default_factory=dict)
    passed: frozenset[Digest] = frozenset()
    at: str = ""


@dataclass(frozen=True)
class Saying:
    """What a run says while it goes on; `digests` are those of what passed, at the end of all."""

    kind: Literal["note", "running", "passed", "failed", "lost", "end"]
    lines: tuple[str, ...]
    exercise: str = ""
    digests: Mapping[str, Digest] = field(default_factory=dict)


Say = Callable[[Saying], None]


def rerun(job: Job, say: Say) -> None:
    """Judges the exercises `in_turn`; the board learns each verdict.

    Before the first verdict set-up, definitions and answers run from top to bottom.
    """
    graded = checks.LESSONS[job.lesson]
    found = answers(job.cells, {check.id: check.name for check in graded})
    run = steps(job.cells, found)
    now = digests(run, job.elsewhere)
    queue = [c for c in in_turn(graded, now, job) if now.get(c.id) not in job.passed]
    printed = _Printed()
    notebook = _Notebook(job.lesson, run, found, say, printed)
    with redirect_stdout(printed):
        if _judge_all(notebook, queue, now):
            say(Saying("note", (f"Every exercise of {job.lesson} passes.",)))
        notebook.tell_printed()
        say(Saying("end", (progress_line(job.lesson),), digests=now))


def in_turn(graded: Sequence[Check], now: Mapping[str, Digest], job: Job) -> list[Check]:
    """The lesson's checks: edited, passed until what they use changed, shown last, then the rest.

    At the first save of a watch nothing counts as edited.
    """

    def turn(check: Check) -> int:
        new, old = now.get(check.id), job.before.get(check.id)
        if job.before and new and (old is None or old.own != new.own):
            return 0
        if old in job.passed and new != old:
            return 1
        return 2 if check.id == job.at else 3

    return sorted(graded, key=turn)


def _judge_all(notebook: "_Notebook", queue: Sequence[Check], now: Mapping[str, Digest]) -> bool:
    """Whether all of the queue pass; it ends at the first that does not."""
    for check in queue:
        notebook.say(Saying("running", (f"{check.id} {check.name}",), check.id))
        state, lines = notebook.judge(check)
        notebook.tell_printed()
        if lines:
            notebook.say(Saying("failed", tuple(lines), check.id))
            return False
        word = "borrowed, and it passes" if state == "borrowed" else "passed"
        line = f"✓ {check.id} {check.name}: {word}"
        notebook.say(Saying("passed", (line,), check.id, {check.id: now[check.id]}))
    return True


def progress_line(lesson: str) -> str:
    """A sign for each exercise of the lesson, as the board has it, and the count of subtasks."""
    kept = progress.read()
    states = [kept.get(check.id, {}).get("state", "") for check in checks.LESSONS[lesson]]
    signs = "".join(SYMBOLS.get(state, "·") for state in states)
    return f"{lesson[:2].upper()} {signs}   {str(checks.progress()).partition(chr(10))[0]}"


class _Notebook:
    """The notebook's names, which are made when the first verdict asks for them."""

    def __init__(
        self,
        lesson: str,
        run: Sequence[Step],
        found: Mapping[str, Answer],
        say: Say,
        printed: "_Printed",
    ):
        self.say = say
        self._lesson, self._run, self._found, self._printed = lesson, run, found, printed
        self._names: SharedNames | None = None
        self._problems: dict[str, str] = {}

    def judge(self, check: Check) -> tuple[State, list[str]]:
        """The verdict, and the lines that say why, none where it passes; the board has it too."""
        answer = self._found.get(check.id)
        if answer is None:
            return "unwritten", _told(check, "its cell is missing.")
        if answer.choice:
            self.say(Saying("note", (f"{check.id}: {answer.choice}",)))
        names = self._names or self._ran()
        problem = self._problems.get(check.id, "")
        if not problem and names.get(check.name) is None:
            problem = f"its cell defines no {check.name}"
        state, lines = _refused(check, problem) if problem else _judged(check, names)
        progress.record_saved(check.id, state, answer.code)
        return state, lines

    def _ran(self) -> SharedNames:
        """The names after set-up, definitions and answers; what raises is noted, or its verdict."""
        names = self._names = SharedNames()
        for step in self._run:
            problem = self._run_step(names, step)
            if step.exercise and problem:
                self._problems[step.exercise] = f"its cell raised {problem}"
            elif problem:
                said = f"{step.place.capitalize()} did not run to its end: {problem}"
                self.say(Saying("note", (said,)))
        self.tell_printed()
        return names

    def _run_step(self, names: SharedNames, step: Step) -> str:
        """Each has a module of its own, where `inspect` finds the source of its classes."""
        file = f"<{self._lesson}.ipynb, {step.place}>"
        module = re.sub(r"\W", "_", f"carried_{self._lesson}_{step.place}")
        return names.run(step.source, file, module, limited=not step.is_setup)

    def tell_printed(self) -> None:
        lines = self._printed.taken()
        if lines:
            self.say(Saying("note", tuple(f"  | {line}" for line in lines)))


def _judged(check: Check, names: SharedNames) -> tuple[State, list[str]]:
    try:
        return check(names[check.name]).state, []
    except CheckFailed as failed:
        return failed.state, failed._render_traceback_()


def _refused(check: Check, problem: str) -> tuple[State, list[str]]:
    return "wrong", _told(check, problem)


def _told(check: Check, problem: str) -> list[str]:
    return [f"{RED}✗ {check.id} {check.name}{END}", f"  {BOLD}{problem}{END}"]


class _Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, and that there was more."""

    def __init__(self) -> None:
        self._text = ""

    def write(self, text: str) -> int:
        if len(self._text) <= MOST:
            self._text += text[: MOST + 1 - len(self._text)]
        return len(text)

    def taken(self) -> list[str]:
        """The lines since the last time, without what would move the terminal's cursor."""
        text, self._text = self._text, ""
        shown = text[:MOST] + (" …" if len(text) > MOST else "")
        return [re.sub(r"[^\t\x20-\x7e\xa0-\uffff]", "", line) for line in shown.splitlines()]
