"""The learner's progress: written from the work folder only, whole, and never lost in silence."""

import json

import pytest

import checks
from checks import CHECKS, CheckFailed
from checks.learner_files import board, paths, progress, this_notebook
from solutions import d1_moe as reference


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder for the length of a test, and the process in it, as a learner's kernel."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    paths.WORK.mkdir()
    monkeypatch.chdir(paths.WORK)
    return paths.WORK


def kept(work) -> dict:
    return json.loads((work / "progress.json").read_text(encoding="utf-8"))


def state_of(work, exercise: str) -> dict:
    """What is kept of the exercise beside the digests of its code."""
    return {k: v for k, v in kept(work)[exercise].items() if k not in ("code", "saved")}


def record(exercise: str, state: str) -> None:
    progress.record(exercise, CHECKS[exercise].name, state)


def line_of(name: str) -> str:
    return next(line.strip() for line in checks.progress().text.splitlines() if f"{name}:" in line)


def test_a_pass_and_a_failure_are_recorded(work):
    CHECKS["D1.4a"](lambda experts, n: reference.expert_load(experts, n))
    with pytest.raises(CheckFailed):
        CHECKS["D1.4b"](lambda load: None)
    assert list(kept(work)) == ["D1.4a", "D1.4b"]
    assert state_of(work, "D1.4a") == {"state": "passed"}
    assert state_of(work, "D1.4b") == {"state": "wrong"}
    assert line_of("expert_load") == "✓ expert_load: passed"
    assert line_of("load_cv") == "✗ load_cv: wrong"
    assert line_of("max_violation") == "· max_violation: not started"
    assert "· D1.4 Load balancing metrics" in checks.progress().text


def test_a_slip_looked_at_is_not_the_learners_and_leaves_the_board(work):
    CHECKS["D1.4a"](lambda experts, n: reference.expert_load(experts, n))
    assert CHECKS["D1.4a"].failure(lambda experts, n: None).state == "wrong"
    assert list(kept(work)) == ["D1.4a"] and state_of(work, "D1.4a") == {"state": "passed"}


def test_a_subtask_is_done_when_all_its_exercises_are(work):
    for name in ("D1.4a", "D1.4b"):
        record(name, "passed")
    assert checks.progress().text.startswith("0 of 14 subtasks done")
    record("D1.4c", "borrowed")
    assert checks.progress().text.startswith("1 of 14 subtasks done")
    assert "◐ D1.4 Load balancing metrics" in checks.progress().text
    record("D1.4a", "unwritten")
    assert line_of("expert_load") == "· expert_load: not written yet"


def test_borrowing_marks_the_part_until_the_learners_own_passes(work):
    borrowed = CHECKS["D1.4a"].reference()
    assert kept(work)["D1.4a"]["state"] == "borrowed"
    result = CHECKS["D1.4a"](borrowed)
    assert result.borrowed and result.passed
    assert "borrowed from the reference, and it passes" in repr(result)
    assert line_of("expert_load") == "◐ expert_load: borrowed from the reference"
    CHECKS["D1.4a"](lambda experts, n: reference.expert_load(experts, n))
    assert line_of("expert_load") == "✓ expert_load: passed"


def test_hints_are_counted_beside_the_state(work):
    record("D1.1", "wrong")
    CHECKS["D1.1"].hint(2)
    assert state_of(work, "D1.1") == {"state": "wrong", "hints": 2}
    assert line_of("TopKRouter") == "✗ TopKRouter: wrong (hints seen: 2 of 3)"


@pytest.mark.parametrize("place", ["elsewhere", "work/inner"])
def test_nothing_is_written_from_another_folder(work, tmp_path, monkeypatch, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    result = CHECKS["D1.4a"](CHECKS["D1.4a"].reference())
    CHECKS["D1.4a"].hint(1)
    assert result.state == "passed"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_a_work_folder_the_board_is_empty(work, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    work.rmdir()
    assert progress.read() == {}
    assert checks.progress().text.startswith("0 of 14 subtasks done\n")


def test_a_folder_that_is_gone_is_not_the_work_folder(work, monkeypatch):
    def gone():
        raise FileNotFoundError("the current folder")

    monkeypatch.setattr(this_notebook.Path, "cwd", gone)
    assert this_notebook.is_learners() is False


BROKEN = [
    "",
    "{",
    "[1, 2]",
    '"text"',
    "3",
    "null",
    '{"D1.1": 3}',
    '{"D1.1": {"state": ["passed"]}}',
    '{"D1.1": {"state": "passed", "hints": "two"}}',
    "\udcff\udcfe",
    "[" * 100_000,
]


@pytest.mark.parametrize("content", BROKEN, ids=lambda text: text[:12].encode("unicode_escape"))
def test_a_broken_file_is_set_aside_with_one_sentence(work, capsys, content):
    data = content.encode("utf-8", errors="surrogateescape")
    (work / "progress.json").write_bytes(data)
    record("D1.1", "passed")
    assert capsys.readouterr().out == (
        "progress.json could not be read; it is kept as progress.unreadable.json "
        "and a new one begins.\n"
    )
    assert (work / "progress.unreadable.json").read_bytes() == data
    assert state_of(work, "D1.1") == {"state": "passed"}
    assert progress.read() == kept(work) and capsys.readouterr().out == ""


def test_a_file_that_cannot_be_moved_into_place_leaves_the_old_one(work, monkeypatch, capsys):
    record("D1.1", "wrong")
    before = (work / "progress.json").read_bytes()

    def refuse(old, new):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(progress.os, "replace", refuse)
    result = CHECKS["D1.4a"](lambda experts, n: reference.expert_load(experts, n))
    assert result.passed
    assert capsys.readouterr().out == (
        "progress.json could not be written (Permission denied), so the board stays as it was.\n"
    )
    assert (work / "progress.json").read_bytes() == before


def test_the_file_is_moved_whole_into_place(work, monkeypatch):
    moved = []
    replace = progress.os.replace

    def watch(old, new):
        moved.append((json.loads(old.read_text(encoding="utf-8")), old.parent == new.parent))
        replace(old, new)

    monkeypatch.setattr(progress.os, "replace", watch)
    record("D1.1", "passed")
    entry = {"state": "passed", "code": "", "saved": None}
    assert moved == [({"D1.1": entry}, True)]
    assert sorted(path.name for path in work.iterdir()) == [".course", "progress.json"]


def test_the_board_has_the_fourteen_subtasks_in_order(work):
    lines = checks.progress().text.splitlines()
    subtasks = [line.split()[1] for line in lines[1:] if not line.startswith(" ")]
    assert subtasks == [*board.SUBTASKS, "Investigations,"] and len(subtasks) == 15
    named = [
        exercise for exercise in CHECKS if f" {CHECKS[exercise].name}:" in checks.progress().text
    ]
    assert named == list(CHECKS)


def test_borrowing_does_not_take_a_pass_away(work):
    progress.borrow("D1.1")
    assert state_of(work, "D1.1") == {"state": "borrowed"}
    record("D1.1", "passed")
    progress.borrow("D1.1")
    assert state_of(work, "D1.1") == {"state": "passed"}


def test_reading_a_broken_board_changes_nothing(work, capsys):
    (work / "progress.json").write_text("{", encoding="utf-8")
    assert progress.read() == {}
    assert "could not be read" in capsys.readouterr().out
    assert (work / "progress.json").read_text(encoding="utf-8") == "{"
