"""After a restart: the learner's passed parts are back, and one line says which."""

import inspect
import json
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from checks import CHECKS, LESSONS
from checks.grading.source import source_of
from checks.learner.resume import ELSEWHERE, resume
from checks.learner_files import paths, progress
from helpers import solution_markers

D1 = (paths.ROOT / "solutions" / "d1_moe.py").read_text(encoding="utf-8")
SETUP = """\
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from helpers.model.interfaces import ExpertList
from helpers.model.llama import SwiGLU
"""
NAMES = {check.name: check.id for check in LESSONS["d1_moe"]}


def solved(name: str) -> str:
    return solution_markers.solved(solution_markers.source_of(D1, name))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder that is the current one, as a kernel of a notebook there has it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setattr(paths, "WORK", folder)
    monkeypatch.chdir(folder)
    return folder


def save(work: Path, sources: dict[str, str], *extra: str) -> None:
    """A D1 notebook with these exercise cells, and plain cells after the set-up."""
    cells = [new_code_cell(SETUP, metadata={"tags": ["setup"]}), *map(new_code_cell, extra)]
    for name, source in sources.items():
        metadata = {"tags": ["exercise"], "exercise": NAMES[name]}
        cells.append(new_code_cell(source, metadata=metadata))
    nbformat.write(new_notebook(cells=cells), work / "d1_moe.ipynb")


def restarted() -> dict[str, object]:
    """The globals of a kernel that has run the set-up cell and nothing else."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(SETUP, names)
    return names


def passes(name: str, names: dict[str, object]) -> None:
    """The board knows that this part passed."""
    CHECKS[NAMES[name]](names[name], seed=0)


def learn(work: Path, sources: dict[str, str], *extra: str) -> None:
    """A kernel in which all of it ran and every part passed; afterwards it is saved and gone."""
    save(work, sources, *extra)
    before = restarted()
    for i, source in enumerate([*extra, *sources.values()]):
        file = work / f"cell{i}.py"
        file.write_text(source, encoding="utf-8")
        exec(compile(source, str(file), "exec"), before)
    for name in sources:
        passes(name, before)


def test_passed_parts_are_back_and_work_together(work: Path, capsys) -> None:
    whole = {name: solved(name) for name in ("TopKRouter", "ExpertArray", "dispatch_combine")}
    learn(work, {**whole, "MoELayer": solved("MoELayer")}, "def twice(x):\n    return 2 * x")
    names = restarted()
    resume("d1_moe", names)
    said = capsys.readouterr().out
    assert said.startswith("Back: TopKRouter, ExpertArray, dispatch_combine, MoELayer. Not passed")
    assert said.count("\n") == 1
    assert names["twice"](4) == 8
    assert names["MoELayer"](8, 4, 2, 12)(torch.randn(2, 3, 8)).shape == (2, 3, 8)
    passes("MoELayer", names)


def test_their_source_can_be_read(work: Path) -> None:
    learn(work, {name: solved(name) for name in ("TopKRouter", "expert_load")})
    names = restarted()
    resume("d1_moe", names)
    assert inspect.getsource(names["expert_load"]).startswith("def expert_load")
    assert (source_of(names["TopKRouter"]) or "").startswith("class TopKRouter")


def test_what_never_passed_is_not_defined(work: Path, capsys) -> None:
    save(work, {"TopKRouter": solved("TopKRouter")})
    names = restarted()
    resume("d1_moe", names)
    assert "TopKRouter" not in names
    said = capsys.readouterr().out
    assert said == "Nothing to bring back yet: no part of this lesson has passed.\n"


def test_what_was_edited_since_it_passed_is_named_and_not_defined(work: Path, capsys) -> None:
    whole = {name: solved(name) for name in ("TopKRouter", "expert_load")}
    learn(work, whole)
    save(work, {**whole, "expert_load": "def expert_load(experts, num_experts):\n    return 1"})
    names = restarted()
    resume("d1_moe", names)
    assert "TopKRouter" in names and "expert_load" not in names
    said = capsys.readouterr().out
    assert "Changed since it passed, so run its cell and its check: expert_load." in said


def test_a_borrowed_part_is_the_references(work: Path, capsys) -> None:
    save(work, {"TopKRouter": "class TopKRouter:\n    pass"})
    CHECKS["D1.1"].reference()
    names = restarted()
    resume("d1_moe", names)
    assert names["TopKRouter"] is CHECKS["D1.1"].reference_answer
    assert capsys.readouterr().out.startswith("Back: TopKRouter (borrowed).")


def test_a_cell_that_raises_is_told_and_the_others_come_back(work: Path, capsys) -> None:
    learn(work, {"TopKRouter": solved("TopKRouter")})
    save(work, {"TopKRouter": solved("TopKRouter")}, "def f(x=corpus):\n    return x")
    names = restarted()
    resume("d1_moe", names)
    assert "TopKRouter" in names
    assert "Not back: code cell 2 (NameError: name 'corpus' is not defined)." in (
        capsys.readouterr().out
    )


def test_nothing_is_judged_and_the_board_stays_as_it_was(work: Path) -> None:
    learn(work, {"TopKRouter": solved("TopKRouter")})
    before = (work / "progress.json").read_bytes()
    resume("d1_moe", restarted())
    assert (work / "progress.json").read_bytes() == before


def test_outside_work_nothing_is_defined_whatever_lies_in_work(
    work: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(work, {"TopKRouter": solved("TopKRouter")})
    monkeypatch.chdir(work.parent)
    names = restarted()
    before = dict(names)
    resume("d1_moe", names)
    assert names == before
    assert capsys.readouterr().out == f"{ELSEWHERE}\n"


@pytest.mark.parametrize("broken", ["", "no notebook", json.dumps({"cells": 1})])
def test_a_notebook_that_cannot_be_read_is_one_line(work: Path, capsys, broken: str) -> None:
    if broken:
        (work / "d1_moe.ipynb").write_text(broken)
    resume("d1_moe", restarted())
    said = capsys.readouterr().out
    assert said.startswith("Nothing to bring back: d1_moe.ipynb") and said.count("\n") == 1
    assert progress.read() == {}


def test_an_unknown_lesson_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"lesson must be one of d1_moe, .*, got 'd9'"):
        resume("d9", {})
