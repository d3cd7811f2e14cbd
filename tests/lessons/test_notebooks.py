"""A lesson's own notebooks, run: solved it passes whole, and unfilled not at all."""

import re
import shutil

import nbformat
import pytest

from checks import CHECKS, LESSONS
from checks.learner import validate
from checks.learner_files import paths
from lessons.execute import execute
from lessons.percent import LessonError


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize(("folder", "code"), [("solutions", 0), ("notebooks", 1)])
def test_every_exercise_of_the_solved_notebook_passes_and_none_of_the_unfilled(
    tmp_path, monkeypatch, capsys, folder, code, lesson
):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    shutil.copyfile(paths.ROOT / folder / f"{lesson}.ipynb", tmp_path / f"{lesson}.ipynb")
    assert validate.validate([lesson]) == code
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == len(LESSONS[lesson])
    assert all(line.startswith("  ✗" if code else "  ✓") for line in lines)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_fresh_copy_run_from_the_top_stops_at_its_first_exercise(lesson, tmp_path):
    copy = tmp_path / f"{lesson}.ipynb"
    shutil.copy(paths.ROOT / "notebooks" / copy.name, copy)
    notebook = nbformat.read(copy, as_version=4)
    first = next(c for c in notebook.cells if "check" in c.metadata.get("tags", []))
    with pytest.raises(LessonError, match=rf"\({re.escape(first.id)}, ") as stopped:
        execute(notebook, tmp_path)
    cause = stopped.value.__cause__
    assert (cause.ename, cause.evalue) == (
        "CheckFailed",
        f"{first.metadata.exercise} {CHECKS[first.metadata.exercise].name}: not written yet.",
    )
