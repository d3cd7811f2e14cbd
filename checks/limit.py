"""A wall-clock limit on a call: an endless loop is stopped and the kernel lives on."""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

REPEAT = 0.5  # seconds between two tries at stopping a loop that swallows the first


class TooSlow(BaseException):
    """The call was still running after its limit; `frame` is where it was."""

    def __init__(self, seconds: float, frame: FrameType | None):
        super().__init__(f"still running after {seconds:g} s")
        self.seconds = seconds
        self.frame = frame


class _Stop:
    """The signal handler: raises `TooSlow` in the running call, again and again until it ends."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.done = False
        self.tries = 0

    def watched(self, function: Callable[[], object]) -> object:
        """What `function()` returns; from then on nothing is raised."""
        try:
            return function()
        finally:
            self.done = True

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.done:
            return
        if time.monotonic() < self.deadline - 0.05:
            raise KeyboardInterrupt  # the learner pressed stop before the limit
        self.tries += 1
        self._raise_on_a_later_line(frame, self.tries)
        raise TooSlow(self.seconds, frame)

    def _raise_on_a_later_line(self, frame: FrameType | None, lines: int) -> None:
        """Code that catches everything takes one raise; lines later, outside any `try`, none."""

        def trace(frame: FrameType, event: str, argument: object) -> Callable:
            nonlocal lines
            lines -= event == "line"
            if lines == 0 and not self.done:
                raise TooSlow(self.seconds, stopped)
            return trace

        stopped = frame
        while frame is not None and frame.f_code.co_filename != __file__:
            frame.f_trace = trace
            frame = frame.f_back
        sys.settrace(lambda *_: None)


def call(function: Callable[[], object], seconds: float) -> object:
    """What `function()` returns, or `TooSlow` once it has run for `seconds`.

    Only the main thread can be stopped; elsewhere the call runs without a limit.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    stop, traced = _Stop(seconds), sys.gettrace()
    guard = _with_alarm if hasattr(signal, "setitimer") else _with_watcher
    try:
        return guard(function, stop)
    finally:
        stop.done = True
        if sys.gettrace() is not traced:
            sys.settrace(traced)


def _with_alarm(function: Callable[[], object], stop: _Stop) -> object:
    previous = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, stop.seconds, REPEAT)
        return stop.watched(function)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _with_watcher(function: Callable[[], object], stop: _Stop) -> object:
    """The way of Windows, which has no timer signal: a thread interrupts the main one."""
    previous = signal.signal(signal.SIGINT, stop)
    ended = threading.Event()

    def watch() -> None:
        wait = stop.seconds
        while not ended.wait(wait):
            _thread.interrupt_main()
            wait = REPEAT

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        return stop.watched(function)
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, previous)
