"""When a save is a save: stamps and contents, other files, a clock that runs backwards."""

import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from checks.learner.watch.saved import Saved
from checks.learner_files import paths


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "work with space и буквы"
    folder.mkdir()
    monkeypatch.setattr(paths, "WORK", folder)
    return folder


def write(folder, lesson: str, source: str, output_count: int = 0) -> None:
    cell = new_code_cell(source, id="one", execution_count=output_count or None)
    nbformat.write(new_notebook(cells=[cell]), folder / f"{lesson}.ipynb")


def test_the_first_look_and_each_new_content_are_a_change(work) -> None:
    write(work, "d1_moe", "x = 1")
    saved = Saved("d1_moe")
    assert saved.changed()
    assert not saved.changed()
    write(work, "d1_moe", "x = 2")
    assert saved.changed()


def test_a_touch_is_none(work) -> None:
    write(work, "d1_moe", "x = 1")
    saved = Saved("d1_moe")
    saved.changed()
    os.utime(work / "d1_moe.ipynb", (5, 5))
    assert not saved.changed()


def test_a_clock_that_was_set_back_hides_nothing(work) -> None:
    write(work, "d1_moe", "x = 1")
    saved = Saved("d1_moe")
    saved.changed()
    write(work, "d1_moe", "x = 2")
    os.utime(work / "d1_moe.ipynb", (5, 5))
    assert saved.changed()


def test_a_file_that_is_replaced_or_gone_for_a_moment_is_seen(work) -> None:
    write(work, "d1_moe", "x = 1")
    saved = Saved("d1_moe")
    saved.changed()
    (work / "d1_moe.ipynb").rename(work / "aside")
    assert saved.changed()
    (work / "aside").rename(work / "d1_moe.ipynb")
    assert saved.changed()


def test_earlier_lessons_and_own_modules_count_and_later_lessons_do_not(work) -> None:
    write(work, "d2_deepseek_moe", "x = 1")
    saved = Saved("d2_deepseek_moe")
    saved.changed()
    first = saved.elsewhere()
    write(work, "d1_moe", "y = 1")
    assert saved.changed()
    second = saved.elsewhere()
    (work / "own.py").write_text("z = 1", encoding="utf-8")
    assert saved.changed()
    third = saved.elsewhere()
    write(work, "d3_mla", "x = 1")
    assert not saved.changed()
    assert len({first, second, third}) == 3


def test_an_earlier_lesson_that_only_ran_again_changes_no_code(work) -> None:
    write(work, "d1_moe", "y = 1")
    write(work, "d2_deepseek_moe", "x = 1")
    saved = Saved("d2_deepseek_moe")
    saved.changed()
    first = saved.elsewhere()
    write(work, "d1_moe", "y = 1", output_count=7)
    saved.changed()
    assert saved.elsewhere() == first
