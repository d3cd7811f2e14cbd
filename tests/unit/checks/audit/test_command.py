"""`python -m checks`: the board, one sentence for an unknown lesson, the audit's table and JSON."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from checks import CHECKS, LESSONS, OPEN_TASKS, __main__, progress
from checks.audit import audit, kept_verdicts
from checks.learner_files import paths


def run(*arguments: str) -> int:
    options = __main__._parser().parse_args(arguments)
    return options.run(options)


@pytest.fixture
def one_exercise(monkeypatch):
    """D1 with load_cv alone, so that an audit takes a moment."""
    for lesson in list(LESSONS):
        monkeypatch.delitem(LESSONS, lesson)
    monkeypatch.setitem(LESSONS, "d1_moe", (CHECKS["D1.4b"],))
    monkeypatch.setitem(OPEN_TASKS, "d1_moe", ())


@pytest.fixture
def poor_bank(one_exercise, monkeypatch):
    """A right answer that is wrong and a wrong one that is right."""

    def claims_too_much(load):
        """Half of it."""
        return CHECKS["D1.4b"].reference_answer(load) / 2

    def is_right(load):
        """The reference under another name."""
        return CHECKS["D1.4b"].reference_answer(load)

    bank = audit.answers_to(CHECKS["D1.4b"])
    answers = dataclasses.replace(bank, right=[claims_too_much], wrong=[is_right])
    monkeypatch.setattr(audit, "answers_to", lambda check: answers)


def test_status_prints_the_board(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    assert run("status") == 0
    assert capsys.readouterr().out == f"{progress()}\n"


def test_the_audit_as_json_has_the_counts(one_exercise, capsys):
    assert run("audit", "d1", "--json") == 0
    (counts,) = json.loads(capsys.readouterr().out).values()
    assert list(counts) == [
        "exercises",
        "alternatives",
        "refused_right",
        "mistakes",
        "mutants",
        "accepted_wrong",
        "seconds",
    ]
    assert counts["exercises"] == 1
    assert counts["alternatives"] >= 3 and counts["mistakes"] >= 8 and counts["mutants"] > 0
    assert counts["refused_right"] == counts["accepted_wrong"] == []


def test_the_audit_names_lessons_by_their_number(one_exercise, capsys):
    assert run("audit", "d1_moe", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["d1"]


def test_the_audit_fails_on_an_answer_misjudged(poor_bank, capsys):
    assert run("audit", "d1") == 1
    shown = capsys.readouterr().out
    assert "refused, and right: D1.4b claims_too_much, seed 0: D1.4b load_cv: " in shown
    assert "accepted, and wrong: D1.4b is_right, seed 2" in shown
    assert run("audit", "d1", "--json") == 1
    counts = json.loads(capsys.readouterr().out)["d1"]
    assert len(counts["refused_right"]) == len(counts["accepted_wrong"]) == audit.SEEDS


@pytest.mark.parametrize(
    "amiss",
    [
        {"refused_right": ["one"]},
        {"accepted_wrong": ["one"]},
        {"idle": ["one"]},
        {"alternatives": 2},
        {"mistakes": 7},
    ],
    ids=lambda amiss: next(iter(amiss)),
)
def test_one_thing_amiss_in_one_exercise_is_enough(amiss):
    good = audit.Verdict("D9.9", "double", alternatives=3, mistakes=8)
    assert audit.clean([good, good])
    assert not audit.clean([good, dataclasses.replace(good, **amiss)])


def test_a_stage_that_refuses_nothing_fails_the_audit(one_exercise, monkeypatch, capsys):
    stages = {**CHECKS["D1.4b"].stages, "idle": lambda answer, case: None}
    monkeypatch.setattr(CHECKS["D1.4b"], "stages", stages)
    assert run("audit", "d1") == 1
    assert "never refuses anything: D1.4b, stage idle" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["validate", "audit"])
def test_an_unknown_lesson_is_one_sentence(command):
    words = [sys.executable, "-m", "checks", command, "d9"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 2 and done.stdout == ""
    *_, sentence = done.stderr.splitlines()
    known = ", ".join(stem.split("_")[0] for stem in LESSONS)
    assert sentence.endswith(f"lesson must be one of {known}, got d9")


def test_without_a_command_the_usage_is_shown():
    words = [sys.executable, "-m", "checks"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 2
    assert (
        "status | validate | export | chat | audit" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_console_without_ticks_shows_the_board_all_the_same():
    words = [sys.executable, "-m", "checks", "status"]
    ascii_only = dict(os.environ, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    done = subprocess.run(words, capture_output=True, cwd=paths.ROOT, env=ascii_only)
    assert done.returncode == 0
    assert b"of 14 subtasks done" in done.stdout


def test_a_long_audit_goes_on_where_it_was_broken_off(one_exercise, monkeypatch, tmp_path):
    monkeypatch.setattr(kept_verdicts, "FOLDER", tmp_path / "kept")
    first = audit.audit("d1_moe", seeds=4)
    monkeypatch.setattr(audit, "_verdict", None)  # from here on nothing is judged anew
    assert audit.audit("d1_moe", seeds=4) == first
    monkeypatch.setattr(kept_verdicts, "_course", lambda: "another course")
    with pytest.raises(TypeError):
        audit.audit("d1_moe", seeds=4)


@pytest.mark.parametrize("seeds", ["2", "many", "-50", "1001"])
def test_too_few_seeds_cost_a_sentence(seeds, capsys):
    with pytest.raises(SystemExit):
        run("audit", "--seeds", seeds)
    assert f"seeds must be a number from 3 to 1000, got {seeds}" in capsys.readouterr().err
