"""A limit on a call's own computing time, so that an endless loop ends and the kernel lives on.

What counts is the processor time of the main thread, where the call runs: a busy machine takes
none of it, and neither do the other threads of a kernel. A call that waits computes nothing; for
that there is a net, `NET` times as wide, on the wall clock. A check's 8 s become 60 s, so that a
right answer still passes where it gets a seventh of a core, and nobody waits longer than a minute
for a `time.sleep` to be called off, far below the 300 s that nbval allows a cell.

An import is never interrupted, as a module that is loaded by half breaks the process for good, and
the time in it counts for neither the limit nor the net. An import that never ends is therefore
left to the stop button, which works at any time.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NET = 7.5  # seconds on the wall clock, for each second of computing that is allowed
TICK = 0.1  # seconds between two looks at the clocks
REPEAT = 0.5  # seconds between two tries at stopping a loop that swallows the first

# What torch imports only at the first step of an optimiser, dispatch mode, checkpoint, or operation
# on the device meta: 811 modules, 2 s of computing. A check that needs it loads it beforehand.
LAZY_TORCH = ("torch._dynamo",)


class TooSlow(BaseException):
    """The call was stopped at `frame`; `waited` says that the net caught it, not the limit."""

    def __init__(self, seconds: float, frame: FrameType | None, *, waited: bool = False):
        still = f"was still running after {seconds:g} s of computing"
        super().__init__(f"did not end within {seconds:g} s" if waited else still)
        self.seconds = seconds
        self.frame = frame
        self.waited = waited


class _Limit:
    """One running call: what it has used up so far, and the tries at stopping it."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.computed = self.waited = 0.0
        self.done = False
        self.tries = 0
        self.next_try = 0.0

    def run(self, function: Callable[[], object]) -> object:
        """What `function()` returns; from then on this limit raises nothing."""
        depth = len(_running)
        try:
            _running.append(self)
            return function()
        finally:
            self.done = True
            del _running[depth:]

    def over(self) -> bool:
        """Whether the call has used up its time and the next try at stopping it is due."""
        used_up = self.computed >= self.seconds or self.waited >= NET * self.seconds
        return used_up and not self.done and time.monotonic() >= self.next_try

    def stop(self, frame: FrameType | None) -> None:
        """Raises `TooSlow` in the call, at first here, later on lines outside any `try` too."""
        if self.tries > 0:
            self._raise_on_a_later_line(frame, self.tries)
        self.tries += 1
        self.next_try = time.monotonic() + REPEAT
        raise self._too_slow(frame)

    def _too_slow(self, frame: FrameType | None) -> TooSlow:
        if self.computed >= self.seconds:
            return TooSlow(self.seconds, frame)
        return TooSlow(NET * self.seconds, frame, waited=True)

    def _raise_on_a_later_line(self, frame: FrameType | None, lines: int) -> None:
        """Code that catches everything takes one raise; lines later, outside any `try`, none."""

        def trace(frame: FrameType, event: str, argument: object) -> Callable:
            nonlocal lines
            lines -= event == "line"
            if lines == 0 and not self.done:
                raise self._too_slow(stopped)
            return trace

        stopped = frame
        while frame is not None and frame.f_code.co_filename != __file__:
            frame.f_trace = trace
            frame = frame.f_back
        sys.settrace(lambda *_: None)


_running: list[_Limit] = []  # the calls in progress, each within the one before it


def call(function: Callable[[], object], seconds: float) -> object:
    """What `function()` returns, or `TooSlow` once it has computed for `seconds` or hit the net.

    Only the main thread can be stopped; elsewhere the call runs without a limit. A call within a
    call has its own limit, and ends with the outer one's too.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    limit, traced = _Limit(seconds), sys.gettrace()
    try:
        if _running:  # the clocks of the outer call tick for this one too
            return limit.run(function)
        with _timer() if hasattr(signal, "setitimer") else _watcher():
            return limit.run(function)
    finally:
        if sys.gettrace() is not traced:
            sys.settrace(traced)


class _Clocks:
    """The processor's and the wall's; each tick charges the running calls with the time since."""

    def __init__(self, processor: Callable[[], float]):
        self._read = lambda: (processor(), time.monotonic())
        self._last = self._read()

    def tick(self, frame: FrameType | None) -> None:
        """Charges every call that is not in the middle of an import at `frame`."""
        now = self._read()
        computed, waited = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        for limit in _outside_imports(frame):
            limit.computed += computed
            limit.waited += waited


def _outside_imports(frame: FrameType | None) -> list[_Limit]:
    """The calls in progress, innermost first, up to one that is importing a module at `frame`."""
    found: list[_Limit] = []
    for limit in reversed(_running):
        while frame is not None and frame.f_code is not _Limit.run.__code__:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return found
            frame = frame.f_back
        found.append(limit)
        frame = frame and frame.f_back
    return found


def _stop_what_is_over(frame: FrameType | None) -> None:
    """Raises `TooSlow` for the outermost call whose time is over, unless it is importing."""
    for limit in reversed(_outside_imports(frame)):
        if limit.over():
            limit.stop(frame)


@contextmanager
def _timer() -> Iterator[None]:
    """A timer's signal looks at the clocks, in the thread whose time they count."""
    clocks = _Clocks(time.thread_time)

    def look(signum: int, frame: FrameType | None) -> None:
        clocks.tick(frame)
        _stop_what_is_over(frame)

    previous = signal.signal(signal.SIGALRM, look)
    try:
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _watcher() -> Iterator[None]:
    """The way of Windows, which has no timer signal: a thread looks, and interrupts the main one.

    The interrupt is the stop button's. Windows also wakes a `time.sleep` by it; Linux, where the
    tests run this way too, lets the sleep end first.
    """
    clocks, ended, sent = _Clocks(_main_thread_clock()), threading.Event(), False
    main = threading.main_thread().ident or 0  # it runs, so it has one

    def watch() -> None:
        nonlocal sent
        while not ended.wait(TICK):
            frame = sys._current_frames().get(main)
            clocks.tick(frame)
            if not sent and any(limit.over() for limit in _outside_imports(frame)):
                sent = True
                signal.raise_signal(signal.SIGINT)

    def interrupted(signum: int, frame: FrameType | None) -> None:
        nonlocal sent
        if sent:
            sent = False
            _stop_what_is_over(frame)
        elif _running:
            raise KeyboardInterrupt  # the learner pressed stop

    previous = signal.signal(signal.SIGINT, interrupted)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, previous)


def _main_thread_clock() -> Callable[[], float]:
    """The main thread's processor time for another thread; the process' where none can ask."""
    if hasattr(time, "pthread_getcpuclockid"):
        clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        return lambda: time.clock_gettime(clock)
    return time.process_time
