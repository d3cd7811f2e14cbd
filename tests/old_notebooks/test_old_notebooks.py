"""Notebooks solved before the modules moved still run: set-up, exercises and checks of each."""

import shutil
from pathlib import Path

import pytest

from checks.learner import validate
from checks.learner_files import paths
from helpers.moved import MOVED

HERE = Path(__file__).resolve().parent
STEMS = sorted(path.stem for path in HERE.glob("*.ipynb"))


@pytest.mark.parametrize("stem", STEMS)
def test_an_old_notebook_validates(stem, tmp_path, monkeypatch, capsys):
    work = tmp_path / "work"
    work.mkdir()
    shutil.copyfile(HERE / f"{stem}.ipynb", work / f"{stem}.ipynb")
    monkeypatch.setattr(paths, "WORK", work)
    assert validate.validate([stem]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("stem", STEMS)
def test_an_old_notebook_uses_old_names(stem):
    text = (HERE / f"{stem}.ipynb").read_text(encoding="utf-8")
    assert [old for old in MOVED if f"from {old} import" in text]
