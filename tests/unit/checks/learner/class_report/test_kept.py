"""A grading goes on where it stopped, and grades again what has changed."""

import threading

import pytest

from checks import STEMS
from checks.learner.class_report import grading
from checks.learner.class_report.grading import Class
from checks.learner.class_report.rows import Graded, Row
from checks.learner.class_report.submissions import submissions
from checks.learner.class_report.watched import Rules, Stopped


@pytest.fixture
def folder(tmp_path):
    for name in ("ann", "bob", "cid"):
        path = tmp_path / "class" / name / "d1_moe.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch):
    """Grades the class, and returns who was graded; `stop_after` so many it is stopped."""

    def run(stop_after=100, seed=0):
        rules, asked, said = Rules(seed, 60.0, 10**9, ()), [], []
        lock = threading.Lock()

        def graded(submission, rules):
            with lock:
                if len(asked) == stop_after:
                    rules.stop.set()
                    raise Stopped
                asked.append(submission.learner)
            return Graded(submission.learner, (Row("D1.1", "passed", seed=rules.seed),))

        monkeypatch.setattr(grading, "graded", graded)
        found = submissions(folder / "class", STEMS)
        grades = Class(found, rules, 1, folder / "results.kept").grade(said.append)
        return asked, [each.learner for each in grades], said

    return run


def test_everybody_is_graded_once(run):
    assert run()[:2] == (["ann", "bob", "cid"], ["ann", "bob", "cid"])
    asked, grades, said = run()
    assert (asked, grades) == ([], ["ann", "bob", "cid"])
    assert said == ["3 of 3 were graded before and have not changed."]


def test_stopped_it_keeps_what_was_done_and_goes_on_there(run):
    assert run(stop_after=1)[:2] == (["ann"], ["ann"])
    assert run()[:2] == (["bob", "cid"], ["ann", "bob", "cid"])


def test_what_changed_is_graded_again(run, folder):
    run()
    (folder / "class" / "bob" / "d1_moe.ipynb").write_text("new", encoding="utf-8")
    assert run()[0] == ["bob"]
    assert run(seed=1)[0] == ["ann", "bob", "cid"]


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff", b'{"of": 1}', b"[" * 100_000])
def test_a_damaged_result_is_made_anew(run, folder, damage):
    run()
    next((folder / "results.kept").glob("ann-*.json")).write_bytes(damage)
    assert run()[0] == ["ann"]


def test_a_result_that_cannot_be_kept_is_said_and_counts(run, folder):
    (folder / "results.kept").write_text("no folder", encoding="utf-8")
    _, grades, said = run()
    assert grades == ["ann", "bob", "cid"]
    assert sum(line.startswith("This is not kept for another run: ") for line in said) == 3
