"""A guess stands beside what was measured, and is kept only in `work/`."""

import pytest

from checks import predict, truth
from checks.learner_files import paths, predictions, this_notebook


@pytest.fixture(params=["in work", "elsewhere"])
def work(request, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    monkeypatch.setattr(this_notebook, "is_learners", lambda: request.param == "in work")
    monkeypatch.setattr(predictions, "_here", {})
    return tmp_path


def test_without_a_guess_the_truth_stands_alone(work, capsys):
    predict("D1.p1", guess=None)
    truth("D1.p1", "0.93")
    assert capsys.readouterr().out == (
        "D1.p1: no guess yet. Write one in place of None, or go on.\nD1.p1 · measured: 0.93\n"
    )
    assert not list(work.iterdir())


def test_guess_and_truth_stand_together(work, capsys):
    predict("D1.p1", guess=0)
    truth("D1.p1", "0.93")
    assert capsys.readouterr().out.endswith("D1.p1 · your guess: 0 · measured: 0.93\n")


def test_a_guess_may_be_changed_until_the_truth_is_shown(work, capsys):
    predict("D1.p1", guess=0.2)
    predict("D1.p1", guess=0.4)
    truth("D1.p1", 0.93)
    assert capsys.readouterr().out.endswith("D1.p1 · your guess: 0.4 · measured: 0.93\n")


def test_a_guess_after_the_truth_is_the_second(work, capsys):
    predict("D1.p1", guess=0.4)
    truth("D1.p1", 0.93)
    predict("D1.p1", guess=0.4)
    predict("D1.p1", guess=0.93)
    truth("D1.p1", 0.93)
    wanted = "your guess: 0.4 · second guess, after the truth: 0.93 · measured: 0.93\n"
    assert capsys.readouterr().out.endswith(f"D1.p1 · {wanted}")


def test_it_is_kept_in_work_alone(work):
    predict("D1.p1", guess="dense")
    assert (work / "progress.json").is_file() == this_notebook.is_learners()
