"""Grades one learner in a process that is watched, and in further ones where that one ends."""

import base64
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import checks
from checks.learner.class_report import channel
from checks.learner.class_report.process_tree import Tree
from checks.learner.class_report.rows import Graded, Row
from checks.learner.class_report.submissions import Submission
from checks.learner_files import paths

STEP, SETUP = 120.0, 300.0  # seconds on the wall clock; within a check, code is stopped after 8
MOST_PROCESSES = 64  # of one learner at once
MOST_NOTES = 200
MOST_ENDED = 20  # after so many processes that ended, the rest is not run
UNHEARD = 60.0  # seconds after which nobody listens any more
LOOK = 1.0  # seconds between two looks at what a process takes
# Without a main module of its own, which every process of an exercise would have to import.
PROGRAM = "from checks.learner.class_report.one_learner import main; main()"
ENDED = "ended the process: a line ends it, or the system did for want of memory"
KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "WINDIR")
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Stopped(Exception):
    """The teacher has stopped the grading; this learner's is not finished."""


@dataclass(frozen=True)
class Rules:
    """For every learner the same: the checks' seed, seconds and bytes allowed, the way to run.

    `way` is the command that takes the network away, as `confinement.namespaces` finds it; `fonts`
    are matplotlib's own lists of them.
    """

    seed: int
    seconds: float
    memory: int
    way: tuple[str, ...]
    fonts: tuple[Path, ...] = ()
    stop: threading.Event = field(default_factory=threading.Event)


def graded(submission: Submission, rules: Rules) -> Graded:
    """A row for every exercise of the course, whatever the learner's code does."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
        learner = _Learner(submission, rules, Path(folder), start + rules.seconds)
        learner.run()
    return Graded(
        submission.learner,
        tuple(learner.finished_rows()),
        tuple(dict.fromkeys([*submission.notes, *learner.notes])),
        round(time.monotonic() - start, 1),
    )


@dataclass
class _Learner:
    """What is known of one so far, and the step that the current process is at."""

    submission: Submission
    rules: Rules
    folder: Path
    end: float
    rows: dict[str, Row] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fatal: dict[str, list[str]] = field(default_factory=dict)
    rest: str = "This learner's processes ended too often"  # why some of it did not run
    step: str = ""
    step_end: float = 0.0

    def run(self) -> None:
        """One process after another, until one comes to its end or there is no more time."""
        for _ in range(MOST_ENDED):
            self._begin("start")
            why = self._process()
            if not why or self._time_is_over():
                return
            self.fatal.setdefault(self.step, []).append(why)
            if self.step == "start":
                self.rest = f"A process for this learner {why} before it began"
                return

    def finished_rows(self) -> Iterator[Row]:
        """The rows in the course's order, and of what is left that it did not run."""
        why = "The learner's time was over" if self._time_is_over() else self.rest
        for exercise in checks.CHECKS:
            row = self.rows.get(exercise) or Row(exercise, "not run", message=f"{why}.")
            hints = self.submission.hints.get(exercise, 0)
            yield Row(**{**vars(row), "hints": hints})

    def _time_is_over(self) -> bool:
        return time.monotonic() >= self.end

    def _begin(self, step: str) -> None:
        self.step = step
        limit = SETUP if step.startswith("set-up") else STEP
        self.step_end = time.monotonic() + limit

    def _process(self) -> str:
        """Why a process ended, in half a sentence; "" once one has done everything."""
        try:
            process = self._started()
        except OSError as error:
            return f"could not be started ({error.strerror})"
        tree = Tree(process)
        try:
            return self._listen(process, tree)
        finally:
            tree.end()

    def _started(self) -> subprocess.Popen[bytes]:
        self._make_pen()
        job = self.folder / "job.json"
        job.write_text(json.dumps(self._job()), encoding="utf-8")
        return subprocess.Popen(
            [*self.rules.way, sys.executable, "-P", "-c", PROGRAM, str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder / "pen" / "work",
            env=self._environment(),
            start_new_session=True,
        )

    def _make_pen(self) -> None:
        """The folders that the learner's code may write to, whatever it did to them before."""
        for name in ("work", "tmp", "matplotlib"):
            (self.folder / "pen" / name).mkdir(parents=True, exist_ok=True)
        for path in self.rules.fonts:  # a list that takes matplotlib seconds to make
            shutil.copyfile(path, self.folder / "pen" / "matplotlib" / path.name)

    def _job(self) -> dict[str, object]:
        files = self.submission.notebooks.items()
        return {
            "work": str(self.folder / "pen" / "work"),
            "notebooks": {k: base64.b64encode(path.read_bytes()).decode() for k, path in files},
            "rows": {exercise: vars(row) for exercise, row in self.rows.items()},
            "fatal": self.fatal,
            "seed": self.rules.seed,
            "memory": self.rules.memory,
            "loopback": bool(self.rules.way),
            "counted_apart": "--user" in self.rules.way,
        }

    def _environment(self) -> dict[str, str]:
        """No variable of the teacher's but those without which nothing runs."""
        pen = self.folder / "pen"
        own = {name: os.environ[name] for name in KEPT if name in os.environ}
        own |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(pen / "tmp"))
        own |= dict.fromkeys(("HOME", "USERPROFILE"), str(pen))
        own |= dict.fromkeys(ONE_THREAD, "1") | {"OMP_WAIT_POLICY": "PASSIVE"}
        own |= {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(pen / "matplotlib")}
        return own | {"PYTHONUTF8": "1", "PYTHONPATH": str(paths.ROOT)}

    def _listen(self, process: subprocess.Popen[bytes], tree: Tree) -> str:
        lines = _lines_of(process.stdout)
        while True:
            try:
                line = lines.get(timeout=LOOK)
            except queue.Empty:
                line = b" "
            if not line:
                return ENDED
            if self._hear(channel.news_in(line)):
                return ""
            if why := self._over_a_limit(tree):
                return why

    def _hear(self, news: dict) -> bool:
        """Whether all is done. What says nothing that makes sense is passed over."""
        if isinstance(news.get("begin"), str):
            self._begin(news["begin"])
        if isinstance(news.get("note"), str) and len(self.notes) < MOST_NOTES:
            self.notes.append(news["note"][:500])
        if isinstance(news.get("row"), dict):
            self._keep(news["row"])
        return news.get("done") is True

    def _keep(self, kept: dict) -> None:
        try:
            row = Row.of(kept)
        except ValueError:
            return
        if row.exercise in checks.CHECKS:
            self.rows.setdefault(row.exercise, row)

    def _over_a_limit(self, tree: Tree) -> str:
        """Why the process may run no longer, in half a sentence; "" where it may."""
        if self.rules.stop.is_set():
            raise Stopped
        now = time.monotonic()
        if now >= min(self.step_end, self.end):
            return f"was still running after {STEP if now < self.end else self.rules.seconds:g} s"
        return tree.takes_too_much(self.rules.memory, MOST_PROCESSES)


def _lines_of(stream: IO[bytes] | None) -> "queue.Queue[bytes]":
    """The lines of a stream as they come, long ones in parts, and an empty one at the end."""
    lines: queue.Queue[bytes] = queue.Queue(1000)

    def read() -> None:
        if stream is None:
            return
        with stream, suppress(queue.Full):  # full when nobody listens any more
            while line := stream.readline(channel.LONGEST):
                lines.put(line, timeout=UNHEARD)
            lines.put(b"", timeout=UNHEARD)

    threading.Thread(target=read, daemon=True).start()
    return lines
