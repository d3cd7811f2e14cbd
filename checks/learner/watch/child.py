"""A process that has everything loaded, and runs one saved notebook: whatever that does ends there.

Where the system can fork, it is a copy of the watching process, ready at once. Elsewhere it loads
everything itself while nobody waits for it.
"""

import ast
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import checks
from checks.learner.watch.rerun import Job, Saying, rerun
from checks.learner_files import paths
from checks.learner_files.notebook import UnreadableNotebook, read

# On a Mac a copy may crash in the system's own libraries.
METHOD = "fork" if sys.platform == "linux" else "spawn"
LONGEST = 300.0  # seconds without a word after which it is ended, as nbval ends a cell
Serve = Callable[[str, Connection, Connection], None]


def warm(lesson: str) -> None:
    """Afterwards what the lesson's set-up and its checks import is loaded."""
    os.environ.setdefault("MPLBACKEND", "agg")  # nothing opens a window
    for check in checks.LESSONS[lesson]:
        for name in check.preload:
            import_module(name)
    len(checks.CHECKS)  # asking for them loads those of the other lessons
    for name in _imported_by_setup(lesson):
        import_module(name)


def _imported_by_setup(lesson: str) -> list[str]:
    """The modules that the lesson's own set-up imports, none where the notebooks are not built."""
    try:
        cells = read(paths.ROOT / "notebooks" / f"{lesson}.ipynb")
    except UnreadableNotebook:
        return []
    nodes = [node for cell in cells if cell.role == "setup" for node in cell.tree.body]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]


def serve(lesson: str, connection: Connection, other_end: Connection) -> None:
    """Runs one job, and sends what there is to say; it ends where nobody listens any more."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one who watches
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    warm(lesson)
    os.chdir(paths.WORK)
    sys.path.insert(0, str(paths.WORK))
    try:
        rerun(connection.recv(), connection.send)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _start_deaf(process: BaseProcess) -> None:
    """Starts it so that a Ctrl+C in the terminal, which reaches both, does nothing there."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, previous)


class Child:
    """The process seen from outside; `method` is multiprocessing's way to start it."""

    def __init__(self, lesson: str, method: str = METHOD, serve: Serve = serve):
        if method == "fork":
            warm(lesson)
        context: Any = multiprocessing.get_context(method)
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(lesson, theirs, self._ours))
        _start_deaf(self._process)
        theirs.close()
        self.busy = False
        self._heard = time.monotonic()

    def start(self, job: Job) -> None:
        """From now on it runs `job`."""
        self.busy, self._heard = True, time.monotonic()
        with suppress(OSError):  # one that died before is told by `listen`
            self._ours.send(job)

    def listen(self, seconds: float) -> Saying | None:
        """The next that it says within so many seconds; once it has died, what there is to say."""
        try:
            if self._ours.poll(seconds):
                self._heard = time.monotonic()
                return self._ours.recv()
        except (EOFError, OSError):
            return self._lost("the process ended while this ran: does a line end Python itself?")
        if self.busy and time.monotonic() - self._heard > LONGEST:
            return self._lost(f"nothing was heard for {LONGEST:.0f} s, so it was ended.")
        return None

    def _lost(self, why: str) -> Saying:
        self.end()
        return Saying("lost", (why,))

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.busy = False
        self._process.kill()
        self._process.join()
        self._ours.close()
