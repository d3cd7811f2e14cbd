"""The course's own notebooks: what updating takes for granted of them is true."""

import shutil

import pytest

import checks
from checks.learner.updating import lessons, update
from checks.learner.updating.cells import as_bytes, exercises, load, part, untouched
from checks.learner_files import paths
from course import ROOT


@pytest.mark.parametrize("stem", checks.STEMS)
def test_a_text_is_known_by_its_id_and_an_exercise_by_its_name(stem):
    cells = load(ROOT / "notebooks" / f"{stem}.ipynb").cells
    assert all(untouched(cell) or part(cell) for cell in cells)
    asked = *checks.LESSONS[stem], *checks.OPEN_TASKS[stem]
    named = {check.id: check.name for check in asked}
    assert lessons.names(cells) == named


@pytest.mark.parametrize("stem", checks.STEMS)
def test_a_solved_notebook_without_a_base_keeps_every_answer(stem, tmp_path, monkeypatch):
    """Of version 0.1.0, before bases were kept; `planned` itself raises if anything is lost."""
    monkeypatch.setattr(paths, "WORK", tmp_path)
    shutil.copyfile(ROOT / "tests" / "old_notebooks" / f"{stem}.ipynb", tmp_path / f"{stem}.ipynb")
    plan = update.planned(stem)
    assert plan.is_new and plan.notes == [update.NO_BASE]
    (tmp_path / f"{stem}.ipynb").write_bytes(plan.after)
    shown = load(tmp_path / f"{stem}.ipynb").cells
    new = load(ROOT / "notebooks" / f"{stem}.ipynb").cells
    assert exercises(shown).keys() >= exercises(new).keys()
    assert {c.source for c in new if not part(c)} <= {c.source for c in shown}


@pytest.mark.parametrize("stem", checks.STEMS)
def test_the_present_lesson_has_nothing_new_for_itself(stem, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    shutil.copyfile(ROOT / "notebooks" / f"{stem}.ipynb", tmp_path / f"{stem}.ipynb")
    plan = update.planned(stem)
    assert not plan.is_new and not plan.changes
    whole = load(tmp_path / f"{stem}.ipynb")
    assert as_bytes(whole, whole.cells) == plan.before
