"""A process with all that it has started: what they take together, and their end."""

import os
import subprocess
import time
from contextlib import suppress

import psutil

EVERY = 1.0  # seconds between two looks; a look goes through all processes of the machine
TRIES = 20


class Tree:
    """The descendants of a process, and whatever else of its session has lost its parent."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._next_look = time.monotonic() + EVERY

    def takes_too_much(self, memory: int, processes: int) -> str:
        """What they take more of than they may, in half a sentence; "" between two looks."""
        if time.monotonic() < self._next_look:
            return ""
        found = self._all()
        self._next_look = time.monotonic() + EVERY
        if len(found) > processes:
            return f"started more than {processes} processes"
        if sum(map(_resident, found)) > memory:
            return f"took more than {memory / 1e9:g} GB of memory"
        return ""

    def end(self) -> None:
        """Afterwards none of them runs, but for what has hidden itself in a session of its own."""
        for _ in range(TRIES):
            found = self._all()
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            if not found and self._process.poll() is not None:
                break
            psutil.wait_procs(found, timeout=0.2)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _all(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        with suppress(psutil.Error):
            own = psutil.Process(self._process.pid)
            found = {p.pid: p for p in [own, *own.children(recursive=True), *self._orphans()]}
        return [process for process in found.values() if _runs(process)]

    def _orphans(self) -> list[psutil.Process]:
        """Of the same session, where the system has any."""
        if not hasattr(os, "getsid"):
            return []
        return [p for p in psutil.process_iter() if _session(p.pid) == self._process.pid]


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return 0


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0
