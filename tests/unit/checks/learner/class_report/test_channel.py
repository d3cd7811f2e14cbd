"""The learner's end of the pipes: it tells at once, prints nowhere, and ends with the other end."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from checks.learner.class_report import confinement, process_tree
from checks.learner.class_report.channel import Channel, news_in
from checks.learner.class_report.process_tree import Tree
from course import ROOT

BEGIN = f"from {Channel.__module__} import Channel\nchannel = Channel()\n"


def started(program, **more):
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        **more,
    )


def test_nothing_printed_comes_between_the_news():
    program = BEGIN + "import os\nprint('x', flush=True)\nos.write(1, b'y')\nos.system('echo z')\n"
    with started(program + "channel.tell(done=True)") as process:
        assert [news_in(line) for line in process.stdout] == [{"done": True}]


def test_it_ends_when_the_one_that_watches_does():
    with started(BEGIN + "channel.tell(begin='')\nimport time\ntime.sleep(1000)") as process:
        process.stdout.readline()
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=20) == 1


@pytest.mark.parametrize("line", [b"", b" ", b"\xff", b"[1]", b"3", b"[" * 100_000, b'{"a": '])
def test_what_is_no_news_is_nothing(line):
    assert news_in(line) == {}


def test_a_system_without_sessions_and_limits_ends_what_was_started(monkeypatch):
    """As Windows is: the limits are kept by looking."""
    monkeypatch.setattr(process_tree, "os", SimpleNamespace())
    monkeypatch.setattr(confinement, "resource", None)
    confinement.limit(1, True)
    inner = "import time; time.sleep(1000)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    process = started("print('begun', flush=True)\n" + program)
    process.stdout.readline()
    tree = Tree(process)
    while len(tree._all()) < 2:
        assert process.poll() is None
    tree._next_look = 0
    assert tree.takes_too_much(10**10, 1) == "started more than 1 processes"
    tree.end()
    assert tree._all() == []
    process.stdout.close()
