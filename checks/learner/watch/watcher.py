"""The watching: it looks at the files, hands what was saved to a process and tells what comes."""

import re
import time
from collections.abc import Callable

from checks.learner.watch.child import Child
from checks.learner.watch.rerun import Job, Saying
from checks.learner.watch.saved import Saved
from checks.learner.watch.steps import Digest
from checks.learner_files.notebook import UnreadableNotebook, read

LOOK = 0.2  # seconds between two looks at the files
SETTLES = 1.0  # seconds that a file may be half written
Tell = Callable[[str], None]


class Watcher:
    """Watches the lesson's notebook in `work/`; `tell` prints a line."""

    def __init__(self, lesson: str, tell: Tell, start: Callable[[str], Child] = Child):
        self._lesson, self._tell, self._start = lesson, tell, start
        self._saved = Saved(lesson)
        tell(f"Watching work/{lesson}.ipynb: it is checked whenever you save it. Ctrl+C ends this.")
        self._child = start(lesson)
        self._broken: tuple[float, str] | None = None
        self._before: dict[str, Digest] = {}
        self._passed: set[Digest] = set()
        self._running = self._at = ""

    def watch(self) -> None:
        """Goes on until it is interrupted."""
        try:
            while True:
                self.turn()
        finally:
            self._child.end()

    def turn(self) -> None:
        """One look at the files, and what the process says until the next."""
        if self._saved.changed():
            self._check_again()
        if self._broken and time.monotonic() - self._broken[0] >= SETTLES:
            self._tell(f"{_now()}  {self._broken[1]}.")
            self._broken = None
        if not self._child.busy:
            time.sleep(LOOK)
        elif said := self._child.listen(LOOK):
            self._hear(said)

    def _check_again(self) -> None:
        """The saved notebook runs in a process of its own, in place of what still runs."""
        try:
            cells = read(self._saved.notebook)
        except UnreadableNotebook as error:
            self._broken = time.monotonic(), str(error)
            return
        self._broken = None
        if self._child.busy:
            self._tell(f"{_now()}  Saved again: it begins anew.")
            self._child.end()
            self._child = self._start(self._lesson)
        elsewhere, known = self._saved.elsewhere(), frozenset(self._passed)
        job = Job(self._lesson, cells, elsewhere, dict(self._before), known, self._at)
        self._child.start(job)

    def _hear(self, said: Saying) -> None:
        for line in _lines(said, self._running):
            self._tell(line)
        if said.kind == "running":
            self._running = said.lines[0]
        elif said.kind == "passed":
            self._passed.update(said.digests.values())
        elif said.kind == "failed":
            self._at = said.exercise
        elif said.kind == "end":
            self._before = dict(said.digests)
        if said.kind in ("end", "lost"):
            self._child.end()
            self._child = self._start(self._lesson)
            self._running = ""


def _lines(said: Saying, running: str) -> list[str]:
    """What is told: a time where something begins, an empty line where a save is done."""
    if said.kind == "running":
        return [f"{_now()}  {said.lines[0]} …"]
    if said.kind == "lost":
        return [f"✗ {running or 'set-up'}: {said.lines[0]}", ""]
    return [*said.lines, ""] if said.kind == "end" else list(said.lines)


def _now() -> str:
    return time.strftime("%H:%M:%S")


def plain(line: str) -> str:
    """The line without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)
