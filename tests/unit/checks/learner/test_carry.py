"""A learner's parts carried into a later lesson: every mixture, every kind of broken notebook."""

from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

import checks.grading.check
from checks import LESSONS
from checks.learner import carry, shared_names
from checks.learner_files import paths
from helpers import solution_markers
from solutions import d1_moe

D1 = (paths.ROOT / "solutions" / "d1_moe.py").read_text(encoding="utf-8")
SETUP = """\
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from helpers.model.llama import SwiGLU
"""
NAMES = [check.name for check in LESSONS["d1_moe"]]


def solved(name: str) -> str:
    return solution_markers.solved(solution_markers.source_of(D1, name))


def stub(name: str) -> str:
    return solution_markers.stub(solution_markers.source_of(D1, name))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder that is the current one, as a kernel of a notebook there has it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setattr(paths, "WORK", folder)
    monkeypatch.chdir(folder)
    return folder


def write(work: Path, sources: dict[str, str], *extra: str) -> None:
    """A D1 notebook with these exercise cells, and plain cells before them."""
    cells = [new_code_cell(SETUP, metadata={"tags": ["setup"]}), *map(new_code_cell, extra)]
    for check in LESSONS["d1_moe"]:
        if check.name in sources:
            metadata = {"tags": ["exercise"], "exercise": check.id}
            cells.append(new_code_cell(sources[check.name], metadata=metadata))
    nbformat.write(new_notebook(cells=cells), work / "d1_moe.ipynb")


def works(carried: carry.Carried) -> bool:
    """Whether the carried layer computes what the reference does with the same weights."""
    torch.manual_seed(0)
    mine, reference = carried.MoELayer(8, 4, 2, 12), d1_moe.MoELayer(8, 4, 2, 12)
    mine.load_state_dict(reference.state_dict())
    x = torch.randn(2, 3, 8)
    return torch.allclose(mine(x), reference(x), atol=1e-6)


def test_outside_work_every_part_is_the_references() -> None:
    carried = carry.carry("d1_moe")
    assert set(carried.origin.values()) == {"reference"}
    assert works(carried)


@pytest.mark.parametrize("missing", NAMES)
def test_one_part_not_written_is_the_references_and_the_rest_yours(work: Path, missing: str):
    write(work, {name: stub(name) if name == missing else solved(name) for name in NAMES})
    carried = carry.carry("d1_moe")
    for name in NAMES:
        whose = "reference (yours: not written yet)" if name == missing else "yours"
        assert carried.origin[name] == whose
    assert works(carried)


@pytest.mark.parametrize("mine", NAMES)
def test_one_part_written_is_yours_and_the_rest_the_references(work: Path, mine: str) -> None:
    write(work, {name: solved(name) if name == mine else stub(name) for name in NAMES})
    carried = carry.carry("d1_moe")
    assert [name for name in NAMES if carried.origin[name] == "yours"] == [mine]
    assert works(carried)


def test_a_table_has_a_column_for_each_lesson_and_a_cell_for_each_part(work: Path) -> None:
    write(work, {name: solved(name) for name in NAMES[:1]})
    carried = carry.carry("d1_moe", "d2_deepseek_moe")
    head, first, second, *_ = carried._repr_html_().split("<tr>")[1:]
    assert ">D1</td>" in head and ">D2</td>" in head and "D3" not in head
    assert f">{NAMES[0]}: yours</td>" in first and ">SharedExperts: reference" in first
    assert f">{NAMES[1]}: reference (yours: " in second


def test_your_layer_calls_your_own_dispatch_and_the_references_router(work: Path) -> None:
    marked = solved("dispatch_combine").replace(
        "    y = torch.zeros", "    CALLS.append(1)\n    y = torch.zeros"
    )
    parts = {"dispatch_combine": "CALLS = []\n" + marked, "MoELayer": solved("MoELayer")}
    write(work, parts)
    carried = carry.carry("d1_moe")
    calls = carried.dispatch_combine.__globals__["CALLS"]
    before = len(calls)
    assert works(carried)
    assert len(calls) == before + 1
    assert carried.origin["TopKRouter"] == "reference (yours: its cell is missing)"


def test_a_wrong_part_is_left_and_its_message_told(work: Path) -> None:
    wrong = solved("TopKRouter").replace("gates = gates / gates.sum(dim=-1, keepdim=True)", "pass")
    write(work, {**{name: solved(name) for name in NAMES}, "TopKRouter": wrong})
    carried = carry.carry("d1_moe")
    assert carried.origin["TopKRouter"].startswith("reference (yours: gate weights must sum to 1")
    assert carried.origin["MoELayer"] == "yours"
    assert works(carried)


def test_a_part_can_be_forced_either_way(work: Path) -> None:
    wrong = solved("TopKRouter").replace("dim=-1", "dim=0", 1)
    write(work, {**{name: solved(name) for name in NAMES}, "TopKRouter": wrong})
    carried = carry.carry("d1_moe", yours=["TopKRouter"], reference=["MoELayer"])
    assert carried.origin["TopKRouter"] == "yours"
    assert carried.origin["MoELayer"] == "reference"
    assert not works(carried)


def test_a_name_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="yours must name parts among TopKRouter"):
        carry.carry("d1_moe", yours=["Router"])
    with pytest.raises(ValueError, match="lesson must be one of d1_moe"):
        carry.carry("d1")


@pytest.mark.parametrize(
    "content", [None, "", "not a notebook", '{"cells": 3}', '{"nbformat": 4, "cells": [{}]}']
)
def test_a_notebook_that_cannot_be_read_costs_a_sentence(work: Path, content: str | None) -> None:
    if content is not None:
        (work / "d1_moe.ipynb").write_text(content, encoding="utf-8")
    carried = carry.carry("d1_moe")
    assert set(carried.origin.values()) == {"reference"}
    assert len(carried.notes) == 1
    assert "d1_moe.ipynb" in carried.notes[0]
    assert works(carried)


@pytest.mark.parametrize(
    "cell", ["def broken(:", "raise SystemExit", "TopKRouter = 3", "import no_such_module"]
)
def test_an_exercise_cell_that_does_not_run_costs_only_its_part(work: Path, cell: str) -> None:
    write(work, {**{name: solved(name) for name in NAMES}, "TopKRouter": cell})
    carried = carry.carry("d1_moe")
    assert carried.origin["TopKRouter"].startswith("reference (yours: ")
    assert carried.origin["load_cv"] == "yours"
    assert works(carried)


def test_helpers_of_your_own_come_along_and_demonstrations_do_not_run(work: Path) -> None:
    count = "def count(experts, n):\n    return torch.bincount(experts.flatten(), minlength=n)"
    load = "def expert_load(experts, num_experts):\n    return count(experts, num_experts)"
    write(work, {"expert_load": load}, count, "open('ran', 'w').close()", "import no_such_module")
    carried = carry.carry("d1_moe")
    assert carried.origin["expert_load"] == "yours"
    assert not (work / "ran").exists()
    assert len(carried.notes) == 1 and "no_such_module" in carried.notes[0]


def test_verdicts_are_remembered_until_a_cell_changes(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(work, {name: solved(name) for name in NAMES})
    carry.carry("d1_moe")
    judged = []
    check = type(LESSONS["d1_moe"][0])
    kept = check.failure
    monkeypatch.setattr(check, "failure", lambda self, a: judged.append(self.id) or kept(self, a))
    carry.carry("d1_moe")
    assert judged == []
    write(work, {**{name: solved(name) for name in NAMES}, "load_cv": stub("load_cv")})
    assert carry.carry("d1_moe").origin["load_cv"] == "reference (yours: not written yet)"
    assert "D1.4b" in judged


LOAD_IN_SLOW_MOMENTS = """\
import os

def expert_load(experts, num_experts):
    while os.path.exists("slow"):
        pass
    return torch.bincount(experts.flatten(), minlength=num_experts)
"""
HELPER_IN_SLOW_MOMENTS = """\
import os

def waited(function):
    while os.path.exists("slow"):
        pass
    return function

@waited
def count(experts, n):
    return torch.bincount(experts.flatten(), minlength=n)
"""


def test_a_part_that_was_stopped_is_told_and_judged_again(work: Path, monkeypatch) -> None:
    monkeypatch.setattr(checks.grading.check, "SECONDS", 0.3)
    write(work, {"expert_load": LOAD_IN_SLOW_MOMENTS})
    (work / "slow").touch()
    why = carry.carry("d1_moe").origin["expert_load"]
    assert "your code was still running after 0.3 s of computing" in why
    (work / "slow").unlink()
    assert carry.carry("d1_moe").origin["expert_load"] == "yours"


def test_what_fails_without_a_cell_that_was_stopped_is_judged_again(
    work: Path, monkeypatch
) -> None:
    monkeypatch.setattr(shared_names, "SECONDS", 0.3)
    load = "def expert_load(experts, num_experts):\n    return count(experts, num_experts)"
    write(work, {"expert_load": load}, HELPER_IN_SLOW_MOMENTS)
    (work / "slow").touch()
    carried = carry.carry("d1_moe")
    assert "left out: it was still running after 0.3 s of computing." in carried.notes[0]
    assert "NameError" in carried.origin["expert_load"]
    (work / "slow").unlink()
    assert carry.carry("d1_moe").origin["expert_load"] == "yours"


def test_a_mended_part_of_an_earlier_lesson_is_seen(work: Path) -> None:
    d2 = (paths.ROOT / "solutions" / "d2_deepseek_moe.py").read_text(encoding="utf-8")
    cells = [
        new_code_cell(
            "import torch\nfrom torch import Tensor, nn\nfrom jaxtyping import Bool, Float, Int",
            metadata={"tags": ["setup"]},
        ),
        new_code_cell(
            solution_markers.solved(solution_markers.source_of(d2, "DeepSeekMoE")),
            metadata={"tags": ["exercise"], "exercise": "D2.3d"},
        ),
    ]
    nbformat.write(new_notebook(cells=cells), work / "d2_deepseek_moe.ipynb")
    right = {name: solved(name) for name in NAMES}
    broken = right["dispatch_combine"].replace("gates[token, slot, None] * out", "out")
    write(work, {**right, "dispatch_combine": broken})
    lessons = ("d1_moe", "d2_deepseek_moe")
    carried = carry.carry(*lessons, yours=["dispatch_combine"])
    assert carried.origin["DeepSeekMoE"].startswith("reference (yours: ")
    assert carry.carry(*lessons).origin["DeepSeekMoE"] == "yours"  # over the reference's dispatch
    write(work, right)
    carried = carry.carry(*lessons, yours=["dispatch_combine"])
    assert carried.origin["DeepSeekMoE"] == "yours"
