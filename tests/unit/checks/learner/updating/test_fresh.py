"""`course.py reset` and `restart`: begun anew, with what was there in a backup."""

import json

import pytest
from nbformat.v4 import new_code_cell

from checks.learner.updating import __main__ as command
from checks.learner_files import progress
from tests.unit.checks.learner.updating.small_course import (
    MY_ONE,
    MY_TWO,
    ONE,
    TWO,
    TWO_ANEW,
    exercise,
    first,
    second,
)

BOARD = {
    "D1.1": {"state": "passed", "code": "0", "hints": 2},
    "D1.2": {"state": "wrong"},
    "D1.p1": {"guess": "4"},
    "D2.1": {"state": "passed"},
}


@pytest.fixture
def solved(course):
    """Both exercises written, and a board."""
    cells = first()
    cells[3].source, cells[7].source = MY_ONE, MY_TWO
    course.save(cells)
    (course.work / "progress.json").write_text(json.dumps(BOARD), encoding="utf-8")
    return course


def run(*words: str) -> int:
    return command.main(list(words))


@pytest.mark.parametrize("word", ["D1.2", "d1.2"])
def test_reset_gives_a_fresh_stub_and_changes_nothing_else(solved, word):
    before = solved.mine.read_bytes()
    assert run("reset", word) == 0
    assert solved.sources() == [
        cell.source for cell in [*first()[:3], exercise("D1.1", MY_ONE)]
    ] + [cell.source for cell in first()[4:]]
    assert (solved.backups()[0] / "d1_moe.ipynb").read_bytes() == before
    assert progress.read() == {**{e: BOARD[e] for e in ("D1.1", "D1.p1", "D2.1")}}


def test_hints_seen_stay_seen(solved):
    run("reset", "D1.1")
    assert progress.read()["D1.1"] == {"hints": 2}


def test_reset_is_undone_with_the_board(solved):
    before = solved.mine.read_bytes()
    run("reset", "D1.1")
    run("update", "--undo")
    assert solved.mine.read_bytes() == before
    assert progress.read() == BOARD


def test_reset_takes_all_cells_that_only_answer_the_exercise(solved):
    half = exercise("D1.2", "HALF = 1")
    half.id = "abcd1234"
    cells = solved.cells()
    solved.save([*cells[:7], half, *cells[7:], new_code_cell(MY_TWO.replace("1", "2"))])
    run("reset", "D1.2")
    assert [source for source in solved.sources() if "two" in source] == [TWO, "check_two(two)"]
    assert "HALF = 1" not in solved.sources()


def test_reset_leaves_and_names_a_cell_that_does_more(solved, capsys):
    solved.save([*solved.cells(), new_code_cell(f"{MY_TWO}\nprint(two(3))")])
    run("reset", "D1.2")
    assert solved.sources()[-1].endswith("print(two(3))")
    assert "Code cell 7 still defines two" in capsys.readouterr().out


def test_reset_brings_back_a_cell_that_was_deleted(solved):
    cells = solved.cells()
    solved.save([*cells[:7], *cells[8:]])
    run("reset", "D1.2")
    assert solved.sources()[6:9] == ["print(one(0))", TWO, "check_two(two)"]


def test_reset_takes_the_newer_stub_and_the_next_update_finds_it_untouched(solved):
    solved.release(second())
    run("reset", "D1.2")
    assert TWO_ANEW in solved.sources()
    newest = second()
    newest[8].source = TWO_ANEW.replace("y", "z")
    solved.release(newest)
    run("update")
    assert newest[8].source in solved.sources()
    assert not [source for source in solved.sources() if "has changed since" in source]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reset", "D1.9"], "There is no exercise D1.9; there are D1.1, D1.2.\n"),
        (["reset", "D9.1"], "There is no lesson D9.1; there are d1.\n"),
        (["restart", "d9"], "There is no lesson d9; there are d1.\n"),
    ],
)
def test_what_is_not_there_is_one_sentence(solved, capsys, words, said):
    assert run(*words) == 1
    assert capsys.readouterr().err == said
    assert solved.backups() == []


@pytest.mark.parametrize("word", ["d1", "D1", "d1_moe"])
def test_restart_begins_the_lesson_anew(solved, word):
    solved.release(second())
    before = solved.mine.read_bytes()
    assert run("restart", word) == 0
    assert solved.cells() == second()
    assert (solved.backups()[0] / "d1_moe.ipynb").read_bytes() == before
    assert progress.read() == {"D2.1": BOARD["D2.1"]}
    run("update", "--undo")
    assert solved.mine.read_bytes() == before
    assert progress.read() == BOARD


def test_restart_keeps_a_file_that_is_no_notebook(solved):
    solved.mine.write_bytes(b"{ not a notebook")
    assert run("restart", "d1") == 0
    assert solved.sources()[3] == ONE
    assert (solved.backups()[0] / "d1_moe.ipynb").read_bytes() == b"{ not a notebook"


def test_restart_copies_a_lesson_that_was_not_there(solved):
    solved.mine.unlink()
    solved.base.unlink()
    assert run("restart", "d1") == 0
    assert solved.cells() == first() and solved.base.is_file()


def test_reset_of_a_file_that_is_not_there_or_no_notebook_is_one_sentence(solved, capsys):
    solved.mine.write_bytes(b"{")
    assert run("reset", "D1.1") == 1
    solved.mine.unlink()
    assert run("reset", "D1.1") == 1
    said = capsys.readouterr().err.splitlines()
    assert "cannot be read as a notebook" in said[0] and "course.py lab" in said[1]
    assert solved.backups() == []
