"""Validation says of a learner's saved notebook which exercises pass, and of no notebook why."""

import json
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from checks import LESSONS
from checks.learner import validate
from checks.learner_files import paths
from checks.learner_files.notebook import UnreadableNotebook, read
from tests.unit.checks.learner.cells import ROUTER, UNFILLED

WRONG = """
def dispatch_combine(x, gates, experts, expert_array):
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        y[token] = gates[token, slot, None] * expert_array[i](x[token])
    return y
"""
WRONG_AT_ONCE = """
def expert_load(experts, num_experts):
    return torch.bincount(experts.flatten(), minlength=num_experts) / 2
"""
WRITTEN = ("TopKRouter", "ExpertArray", "dispatch_combine", "expert_load")
OTHERS = [check.name for check in LESSONS["d1_moe"] if check.name not in WRITTEN]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder for the length of a test, with a name that is hard."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "мои тетради é 'x'")
    paths.WORK.mkdir()
    return paths.WORK


def cell(role: str, exercise: str, source: str):
    return new_code_cell(source, metadata={"tags": [role], "exercise": exercise})


def save(folder, cells) -> None:
    nbformat.write(new_notebook(cells=cells), folder / "d1_moe.ipynb")


def first_four() -> list:
    """One right, one unfilled, two wrong; cells that only define are part of the answer."""
    return [
        new_markdown_cell("# D1"),
        new_code_cell("import torch\nfrom torch import nn", metadata={"tags": ["setup"]}),
        new_code_cell("def normalised(values):\n    return values.softmax(dim=-1)"),
        cell("exercise", "D1.1", ROUTER),
        cell("check", "D1.1", "from checks.d1_moe import check_router\ncheck_router(TopKRouter)"),
        new_code_cell("raise RuntimeError('a picture that is not needed')"),
        cell("exercise", "D1.2", UNFILLED),
        cell("check", "D1.2", "1 / 0"),
        cell("exercise", "D1.3", WRONG),
        cell("exercise", "D1.4a", WRONG_AT_ONCE),
    ]


def test_exactly_the_unfilled_and_the_wrong_fail(work, capfd):
    imported = f"from solutions.d1_moe import {', '.join(OTHERS)}"
    save(work, [*first_four(), new_code_cell(imported)])
    assert validate.validate(["d1_moe"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "d1_moe"
    chosen = [line for line in lines if " is taken from code cell 10, which is not" in line]
    assert len(chosen) == len(OTHERS)
    by_id = {line.split()[1]: line.strip() for line in lines[1:] if line not in chosen}
    assert len(by_id) == len(lines) - 1 - len(OTHERS) == len(LESSONS["d1_moe"])
    assert {name for name, line in by_id.items() if line.startswith("✗")} == {
        "D1.2",
        "D1.3",
        "D1.4a",
    }
    assert by_id["D1.1"] == "✓ D1.1 TopKRouter: passed"
    assert by_id["D1.2"] == "✗ D1.2 ExpertArray: not written yet."
    assert by_id["D1.3"].startswith("✗ D1.3 dispatch_combine")
    assert "Does one share replace another?" in by_id["D1.3"]
    assert by_id["D1.3"].endswith("where a token comes twice in one go.")
    assert by_id["D1.4a"].startswith("✗ D1.4a expert_load · shape and type: load must be int64")
    board = json.loads((work / "progress.json").read_text(encoding="utf-8"))
    assert [board[e]["state"] for e in ("D1.1", "D1.2", "D1.3", "D1.4a")] == [
        "passed",
        "unwritten",
        "wrong",
        "wrong",
    ]
    assert {path.name for path in work.iterdir()} == {".course", "d1_moe.ipynb", "progress.json"}


def test_an_exercise_that_is_not_there_fails_by_name(work, capfd):
    save(work, [cell("exercise", "D1.1", "import torch")])
    assert validate.validate(["d1_moe"]) == 1
    lines = capfd.readouterr().out.splitlines()[1:]
    assert len(lines) == len(LESSONS["d1_moe"])
    for check, line in zip(LESSONS["d1_moe"], lines, strict=True):
        assert line.strip().startswith(f"✗ {check.id} {check.name}: ")
        assert f"name '{check.name}' is not defined" in line


def test_what_is_written_of_an_open_task_is_not_looked_at(work, capfd):
    save(work, [cell("exercise", "D1.O1", "def fast_dispatch(:\n1 / 0")])
    validate.validate(["d1_moe"])
    lines = capfd.readouterr().out.splitlines()[1:]
    assert [line.split()[1] for line in lines] == [check.id for check in LESSONS["d1_moe"]]


def test_with_everything_each_cell_runs_as_it_stands(work, capfd):
    save(work, [cell("exercise", "D1.1", "x = 1"), new_code_cell("x.nothing")])
    assert validate.validate(["d1_moe"], everything=True) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].strip().startswith("✗ x.nothing: ")
    assert "'int' object has no attribute 'nothing'" in lines[1]


def test_what_comes_after_a_dead_kernel_did_not_pass(work, capfd):
    """Nobody waits for the dead: with its limit of 300 s the cell would outlast this test."""
    save(work, [cell("exercise", "D1.1", "import os\nos._exit(1)")])
    start = time.monotonic()
    assert validate.validate(["d1_moe"]) == 1
    assert time.monotonic() - start < validate.CELL_SECONDS / 2
    first, *others = (line.strip() for line in capfd.readouterr().out.splitlines()[1:])
    assert first.startswith("✗ D1.1 TopKRouter: the kernel died while this cell ran")
    assert len(others) == len(LESSONS["d1_moe"])
    assert all(": it did not run, because an earlier cell" in line for line in others)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, "d1_moe.ipynb is not in work/: `python3 course.py lab` copies it there."),
        ("not json", "d1_moe.ipynb in work/ cannot be read as a notebook"),
        ("", "d1_moe.ipynb in work/ cannot be read as a notebook"),
        ("[1, 2]", "d1_moe.ipynb in work/ cannot be read as a notebook"),
        ('{"cells": 3}', "d1_moe.ipynb in work/ cannot be read as a notebook"),
        ("\udcff", "d1_moe.ipynb in work/ cannot be read as a notebook"),
    ],
    ids=["missing", "text", "empty file", "list", "no cells", "not utf-8"],
)
def test_no_notebook_costs_one_sentence(work, capfd, content, wanted):
    if content is not None:
        path = work / "d1_moe.ipynb"
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert validate.validate(["d1_moe"]) == 1
    heading, sentence = capfd.readouterr().out.splitlines()
    assert heading == "d1_moe"
    assert sentence.strip().startswith(wanted)


def test_a_notebook_without_exercises_costs_one_sentence(work, capfd):
    save(work, [])
    assert validate.validate(["d1_moe"]) == 1
    _, sentence = capfd.readouterr().out.splitlines()
    assert "d1_moe.ipynb in work/ has no exercise" in sentence


def test_a_folder_in_the_notebooks_place_is_no_notebook(work):
    (work / "d1_moe.ipynb").mkdir()
    with pytest.raises(UnreadableNotebook, match="cannot be read as a notebook"):
        read(work / "d1_moe.ipynb")


@pytest.mark.parametrize(
    ("source", "only_defines"),
    [
        ("import torch\n\ndef f():\n    pass\n\nclass A:\n    pass", True),
        ("from torch import nn", True),
        ("", False),
        ("# nothing", False),
        ("x = 1", False),
        ("def f(): pass\nf()", False),
        ("%matplotlib inline", False),
        ("def broken(:", False),
    ],
)
def test_which_cells_only_define(work, source, only_defines):
    save(work, [new_code_cell(source)])
    (read_cell,) = read(work / "d1_moe.ipynb")
    assert read_cell.only_defines is only_defines
    assert read_cell.role == "plain"
