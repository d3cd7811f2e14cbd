"""A call that never ends is stopped, named, and leaves the process as it was; on both paths."""

import _thread
import contextlib
import os
import re
import signal
import sys
import threading
import time

import pytest
import torch

import checks.grading.check
from checks import CHECKS, CheckFailed
from checks.grading import time_limit

SHORT = 0.15
HAS_TIMER = hasattr(signal, "setitimer")


@pytest.fixture(params=["timer", "watcher"] if HAS_TIMER else ["watcher"], autouse=True)
def path(request, monkeypatch):
    """Both ways of stopping a call: the timer signal, and Windows' thread that interrupts."""
    monkeypatch.setattr(time_limit, "REPEAT", 0.05)
    if request.param == "watcher" and HAS_TIMER:
        monkeypatch.delattr(signal, "setitimer")
    return request.param


@pytest.fixture(autouse=True)
def left_as_it_was():
    """Handlers, the trace function and the threads are what they were before the test."""
    before = _process_state()
    yield
    assert _process_state() == before
    time.sleep(0.08)  # a late signal would end this


def _process_state() -> tuple:
    numbers = [signal.SIGINT] + ([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])
    timer = signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0
    return *(signal.getsignal(n) for n in numbers), timer, sys.gettrace(), threading.active_count()


def endless():
    while True:
        pass


def endless_in_a_call():
    def busy():
        return sum(range(50))

    while True:
        busy()


def swallows_everything():
    while True:
        try:
            sum(range(100))
        except BaseException:
            pass


def swallows_around_the_loop():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def swallows_in_a_called_function():
    def careless():
        with contextlib.suppress(BaseException):
            while True:
                pass

    while True:
        careless()


def swallows_twice():
    while True:
        try:
            try:
                sum(range(100))
            except BaseException:
                pass
        except BaseException:
            pass


def swallows_and_goes_on():
    total = 0
    while True:
        try:
            total += 1
        except BaseException:
            total -= 1
            continue


def swallows_exceptions():
    while True:
        with contextlib.suppress(Exception):
            raise ValueError


def loops_in_finally():
    try:
        raise ValueError
    finally:
        while True:
            pass


def torch_loop():
    x = torch.ones(8, 8)
    while True:
        x = (x @ x).softmax(-1)


def training_loop():
    weight = torch.ones(4, requires_grad=True)
    while True:
        (weight * 2).sum().backward()


def generator():
    def count():
        n = 0
        while True:
            yield n
            n += 1

    return sum(count())


def recursion_that_recovers():
    def deeper(depth):
        return depth if depth > 50 else deeper(depth + 1)

    while True:
        deeper(0)


class Unborn:
    def __init__(self):
        while True:
            pass


NEVER_END = [
    endless,
    endless_in_a_call,
    swallows_everything,
    swallows_around_the_loop,
    swallows_in_a_called_function,
    swallows_twice,
    swallows_and_goes_on,
    swallows_exceptions,
    loops_in_finally,
    torch_loop,
    training_loop,
    generator,
    recursion_that_recovers,
    Unborn,
]


@pytest.mark.parametrize("call", NEVER_END, ids=lambda call: call.__name__)
def test_a_call_that_never_ends_is_stopped(call):
    with pytest.raises(time_limit.TooSlow) as stopped:
        time_limit.call(call, SHORT)
    assert str(stopped.value) == "was still running after 0.15 s of computing"
    assert stopped.value.frame is not None


def test_the_result_of_a_quick_call_comes_back():
    assert time_limit.call(lambda: 7, SHORT) == 7


def test_an_exception_of_the_call_comes_through():
    with pytest.raises(KeyError, match="mine"):
        time_limit.call(lambda: {}["mine"], SHORT)


def test_the_next_call_has_its_own_limit():
    for _ in range(2):
        with pytest.raises(time_limit.TooSlow):
            time_limit.call(endless, SHORT)
    assert time_limit.call(lambda: "fine", SHORT) == "fine"


@pytest.fixture
def stop_button():
    """Ctrl+C interrupts, also in a process of pytest-xdist, which ignores it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("stop_button")
def test_the_stop_button_before_the_limit_is_a_keyboard_interrupt():
    def press_stop():
        _thread.interrupt_main()
        while True:
            pass

    with pytest.raises(KeyboardInterrupt):
        time_limit.call(press_stop, 30.0)


@pytest.mark.usefixtures("stop_button")
def test_the_stop_button_passes_through_a_check():
    def interrupted(experts, num_experts):
        _thread.interrupt_main()
        while True:
            pass

    with pytest.raises(KeyboardInterrupt):
        CHECKS["D1.4a"](interrupted)


def test_a_keyboard_interrupt_that_the_learner_raises_is_told():
    def interrupted(experts, num_experts):
        raise KeyboardInterrupt

    with pytest.raises(CheckFailed, match="your code raised KeyboardInterrupt"):
        CHECKS["D1.4a"](interrupted)


def test_outside_the_main_thread_the_call_still_runs():
    found = []
    thread = threading.Thread(target=lambda: found.append(time_limit.call(os.getpid, SHORT)))
    thread.start()
    thread.join()
    assert found == [os.getpid()]


def test_a_trace_function_of_a_debugger_is_put_back():
    def tracer(frame, event, argument):
        return None

    kept = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(time_limit.TooSlow):
            time_limit.call(swallows_everything, SHORT)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(kept)


def test_a_check_names_the_line_that_never_ended(monkeypatch):
    monkeypatch.setattr(checks.grading.check, "SECONDS", SHORT)

    def load(experts, num_experts):
        while True:
            pass

    with pytest.raises(CheckFailed) as failed:
        CHECKS["D1.4a"](load, seed=0)
    assert failed.value.state == "stopped"
    assert "still running after 0.15 s of computing on" in failed.value.message
    assert re.search(r", at line \d+, in load: while True:", failed.value.message)
    assert "in load: " in failed.value.message
    assert "Does a loop never end?" in failed.value.lines


def test_a_check_stops_a_constructor(monkeypatch):
    monkeypatch.setattr(checks.grading.check, "SECONDS", SHORT)

    class Endless(torch.nn.Module):
        def __init__(self, d_model, num_experts, top_k):
            super().__init__()
            while True:
                pass

    with pytest.raises(CheckFailed, match="in __init__") as failed:
        CHECKS["D1.1"](Endless, seed=0)
    assert failed.value.state == "stopped"


def test_a_check_stops_a_message_that_never_ends(monkeypatch):
    monkeypatch.setattr(checks.grading.check, "SECONDS", SHORT)

    class Endless(Exception):
        def __str__(self):
            while True:
                pass

    def load(experts, num_experts):
        raise Endless

    with pytest.raises(CheckFailed, match="in __str__") as failed:
        CHECKS["D1.4a"](load, seed=0)
    assert failed.value.state == "stopped"


# What counts, and what does not


def waits_again_and_again():
    while True:
        time.sleep(0.01)


def test_a_call_that_waits_is_stopped_by_the_net():
    start = time.monotonic()
    with pytest.raises(time_limit.TooSlow) as stopped:
        time_limit.call(waits_again_and_again, SHORT)
    assert str(stopped.value) == "did not end within 1.125 s"
    assert stopped.value.waited
    assert time.monotonic() - start >= time_limit.NET * SHORT


def test_one_long_wait_is_stopped(path):
    """Linux lets a sleep end before the watcher's interrupt is heard; the timer's signal wakes."""
    start, long = time.monotonic(), 20.0 if path == "timer" else 1.5
    with pytest.raises(time_limit.TooSlow):
        time_limit.call(lambda: time.sleep(long), SHORT)
    assert time.monotonic() - start < 15


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_time_of_other_threads_does_not_count(monkeypatch):
    """As on a busy machine: the wall's clock and the process' go on, the call's own does not."""
    monkeypatch.setattr(time_limit, "NET", 1000)
    other = threading.Thread(target=compute, args=(4 * SHORT,))

    def wait_for_the_other_thread():
        other.start()
        while other.is_alive():
            time.sleep(0.01)
        return "fine"

    assert time_limit.call(wait_for_the_other_thread, SHORT) == "fine"


def test_where_no_thread_can_be_asked_the_process_time_counts(monkeypatch):
    monkeypatch.delattr(time, "pthread_getcpuclockid", raising=False)
    with pytest.raises(time_limit.TooSlow, match="of computing"):
        time_limit.call(endless, SHORT)


# Imports


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the module `slow_to_load`, which runs `body` and then says that it is whole."""

    def write(body: str):
        source = f"import time\n{body}\nwhole = True\ndef endless():\n    while True: pass\n"
        (tmp_path / "slow_to_load.py").write_text(source, encoding="utf-8")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_to_load", raising=False)
    yield write
    sys.modules.pop("slow_to_load", None)


COMPUTES = "end = time.thread_time() + 0.6\nwhile time.thread_time() < end: pass"
WAITS = "time.sleep(1.5)"


@pytest.mark.parametrize("body", [COMPUTES, WAITS], ids=["computes", "waits"])
def test_an_import_is_not_interrupted_and_costs_no_time(module, body):
    module(body)
    assert time_limit.call(lambda: __import__("slow_to_load").whole, SHORT)


def test_after_an_import_the_limit_holds_again(module):
    module(COMPUTES)
    with pytest.raises(time_limit.TooSlow) as stopped:
        time_limit.call(lambda: __import__("slow_to_load").endless(), SHORT)
    assert stopped.value.frame.f_code.co_name == "endless"
    assert sys.modules["slow_to_load"].whole


def test_a_call_made_while_a_module_loads_has_a_limit(module):
    """An import around the call, as where pytest collects a module, is none within it."""
    module(
        "from checks import limit\n"
        "def loop():\n"
        "    while True: pass\n"
        "try:\n"
        f"    limit.call(loop, {SHORT})\n"
        "except limit.TooSlow:\n"
        "    stopped = True"
    )
    assert time_limit.call(lambda: __import__("slow_to_load").stopped, SHORT)


@pytest.mark.usefixtures("stop_button")
def test_the_stop_button_interrupts_an_import_too(module):
    module("import _thread\n_thread.interrupt_main()\nwhile True: pass")
    with pytest.raises(KeyboardInterrupt):
        time_limit.call(lambda: __import__("slow_to_load"), SHORT)


# A call within a call


def test_an_inner_call_leaves_the_outer_ones_limit():
    def outer():
        assert time_limit.call(lambda: 7, 30.0) == 7
        endless()

    with pytest.raises(time_limit.TooSlow, match=r"0\.15 s"):
        time_limit.call(outer, SHORT)


def test_an_outer_limit_ends_the_inner_call():
    with pytest.raises(time_limit.TooSlow, match=r"0\.15 s"):
        time_limit.call(lambda: time_limit.call(endless, 30.0), SHORT)


def test_an_inner_limit_ends_the_inner_call_only():
    def outer():
        with pytest.raises(time_limit.TooSlow, match=r"0\.15 s"):
            time_limit.call(swallows_everything, SHORT)
        compute(2 * SHORT)
        return "fine"

    assert time_limit.call(outer, 30.0) == "fine"


def test_a_check_says_that_a_call_waits(monkeypatch):
    monkeypatch.setattr(checks.grading.check, "SECONDS", SHORT)

    def load(experts, num_experts):
        waits_again_and_again()

    with pytest.raises(
        CheckFailed, match=r"your code did not end within 1\.125 s on .*, at"
    ) as failed:
        CHECKS["D1.4a"](load, seed=0)
    assert failed.value.state == "stopped"
    assert "Does it wait for something?" in failed.value.lines
