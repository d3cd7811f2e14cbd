"""The process that watches: whatever a learner's process does, the others' rows come out.

Small programs stand in for the learner's process; each is told how often it was begun.
"""

import sys
import time

import psutil
import pytest

from checks import CHECKS
from checks.learner.class_report import watched
from checks.learner.class_report.submissions import Submission
from checks.learner.class_report.watched import Rules, Stopped

TALK = """
import json, os, sys, time
job = json.load(open(sys.argv[1]))
def tell(**news):
    os.write(1, json.dumps(news).encode() + b"\\n")
def row(exercise, state="passed"):
    tell(row={"exercise": exercise, "state": state, "seed": job["seed"]})
"""
GO_ON = """
if job["fatal"]:
    row("D1.2"); tell(done=True); sys.exit()
row("D1.1")
tell(begin="cell d1_moe 3")
"""
RULES = Rules(5, 60.0, 10**9, ())


@pytest.fixture
def grade(monkeypatch):
    def grade(program, rules=RULES, hints=None):
        monkeypatch.setattr(watched, "PROGRAM", TALK + program)
        result = watched.graded(Submission("ann", {}, hints or {}), rules)
        assert [row.exercise for row in result.rows] == list(CHECKS)
        return {row.exercise: row for row in result.rows}, result

    return grade


@pytest.fixture
def left_over():
    """What still runs of the processes that were begun since; spawning keeps one of its own."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: set(psutil.Process().children(recursive=True)) - before


def states(rows):
    return rows["D1.1"].state, rows["D1.2"].state, rows["D1.3"].state


def test_rows_and_notes_are_kept_with_the_hints_seen(grade):
    program = f"for e in {list(CHECKS)}: row(e)\ntell(note='a note'); tell(done=True)"
    rows, result = grade(program, hints={"D1.2": 3})
    assert {row.state for row in rows.values()} == {"passed"}
    assert {row.seed for row in rows.values()} == {5}
    assert rows["D1.2"].hints == 3
    assert result.notes == ("a note",)


def test_a_new_process_goes_on_behind_what_ended_one(grade):
    rows, _ = grade(GO_ON + "os._exit(0)")
    assert states(rows) == ("passed", "passed", "not run")


@pytest.mark.parametrize(
    ("program", "limits"),
    [
        ("time.sleep(1000)", {"STEP": 2.0}),
        ("while True: os.write(1, b'x' * 1000)", {"STEP": 2.0}),
        ("while True: tell(note='x')", {"STEP": 2.0}),
        ("while True: 1", {"STEP": 2.0}),
        ("[os.fork() for _ in range(4)]; time.sleep(1000)", {"MOST_PROCESSES": 8}),
        ("x = b'1' * (12 * 10**8); time.sleep(1000)", {}),
        ("os.closerange(0, 100); time.sleep(1000)", {}),
        ("import shutil; shutil.rmtree(os.path.dirname(os.getcwd())); os._exit(0)", {}),
    ],
    ids=["sleeps", "floods", "chatters", "computes", "forks", "fills", "closes", "deletes"],
)
def test_what_takes_too_much_is_ended_and_gone(grade, left_over, monkeypatch, program, limits):
    for name, value in limits.items():
        monkeypatch.setattr(watched, name, value)
    start = time.monotonic()
    rows, _ = grade(GO_ON + program)
    assert states(rows) == ("passed", "passed", "not run")
    assert time.monotonic() - start < 30
    assert not left_over()


def test_an_end_without_end_comes_to_one(grade):
    rows, _ = grade("tell(begin=f'check {len(job[\"fatal\"])}'); os._exit(1)")
    assert {row.state for row in rows.values()} == {"not run"}
    assert "ended too often" in rows["D1.1"].message


def test_time_is_over_once_for_all(grade):
    rows, result = grade("row('D1.1'); time.sleep(1000)", Rules(0, 3.0, 10**9, ()))
    assert states(rows) == ("passed", "not run", "not run")
    assert "time was over" in rows["D1.2"].message
    assert result.seconds < 15


def test_what_cannot_begin_costs_one_learner_only(grade, monkeypatch):
    rows, _ = grade("sys.exit(1)")
    assert {row.state for row in rows.values()} == {"not run"}
    assert rows["D4.1"].message.startswith("A process for this learner ended the process")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    rows, _ = grade("")
    assert "could not be started" in rows["D1.1"].message


def test_stopped_it_ends_its_process(grade, left_over):
    rules = Rules(0, 60.0, 10**9, ())
    rules.stop.set()
    with pytest.raises(Stopped):
        grade("time.sleep(1000)", rules)
    assert not left_over()


@pytest.mark.parametrize(
    "news",
    ["row=1", "row={}", "row={'exercise': 'D9.9', 'state': 'passed'}", "begin=3, note=[1]"],
)
def test_news_that_make_no_sense_are_passed_over(grade, news):
    rows, _ = grade(f"tell({news}); row('D1.1'); tell(done=True)")
    assert states(rows) == ("passed", "not run", "not run")


def test_no_variable_of_the_teachers_is_handed_on(grade, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    rows, _ = grade("row('D1.1') if 'A_TOKEN' not in os.environ else 0\ntell(done=True)")
    assert rows["D1.1"].state == "passed"
