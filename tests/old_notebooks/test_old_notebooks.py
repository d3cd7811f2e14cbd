"""Notebooks solved before the modules moved still run: set-up, exercises and checks of each."""

import shutil
from pathlib import Path

import pytest

from checks import LESSONS
from checks.learner import validate
from checks.learner_files import paths
from helpers.moved import MOVED

HERE = Path(__file__).resolve().parent
STEMS = sorted(path.stem for path in HERE.glob("*.ipynb"))


@pytest.mark.parametrize("stem", STEMS)
def test_an_old_notebook_validates(stem, tmp_path, monkeypatch, capsys):
    """Every exercise that it has; those that came later are named as failures."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copyfile(HERE / f"{stem}.ipynb", work / f"{stem}.ipynb")
    monkeypatch.setattr(paths, "WORK", work)
    validate.validate([stem])
    said = capsys.readouterr().out
    failed = {line.split()[1] for line in said.splitlines() if line.strip().startswith("✗")}
    text = (HERE / f"{stem}.ipynb").read_text(encoding="utf-8")
    later = {check.id for check in LESSONS[stem] if f'"exercise": "{check.id}"' not in text}
    assert failed == later, said
    assert later <= {"D4.I3a", "D4.I3b", "D4.I3c"}


@pytest.mark.parametrize("stem", STEMS)
def test_an_old_notebook_uses_old_names(stem):
    text = (HERE / f"{stem}.ipynb").read_text(encoding="utf-8")
    assert [old for old in MOVED if f"from {old} import" in text]
