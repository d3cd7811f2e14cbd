"""One run of a saved notebook: what is judged, in which order, and what is said of it."""

import json
import os
import time

import pytest

from checks import LESSONS
from checks.learner import shared_names
from checks.learner.watch import rerun
from checks.learner.watch.rerun import Job, Saying
from checks.learner.watch.steps import Digest
from checks.learner_files import paths
from checks.learner_files.notebook import CodeCell
from tests.unit.checks.learner.cells import ROUTER

SETUP = CodeCell("import torch\nfrom torch import nn", "setup", None)
NORMALISED = "def normalised(values):\n    return values.softmax(dim=-1)"
LOAD = """
def expert_load(experts, num_experts):
    return torch.bincount(experts.flatten(), minlength=num_experts)
"""
UNWRITTEN = "def dispatch_combine(x, gates, experts, expert_array):\n    raise NotImplementedError"
ENDLESS = "def expert_load(experts, num_experts):\n    while True:\n        pass"
CHATTY = LOAD.replace("    return", "    print('here', end='')\n    return")
FLOOD = "def expert_load(experts, num_experts):\n    while True:\n        print('x', end='')"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder that is the current one, as in the process of a watch."""
    monkeypatch.setattr(paths, "WORK", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exercise(of: str, source: str) -> CodeCell:
    return CodeCell(source, "exercise", of)


def plain(source: str) -> CodeCell:
    return CodeCell(source, "plain", None)


def said(cells: list[CodeCell], **known) -> list[Saying]:
    heard: list[Saying] = []
    rerun.rerun(Job("d1_moe", [SETUP, *cells], **known), heard.append)
    return heard


def told(heard: list[Saying], kind: str) -> list[str]:
    """The lines of one kind, without colours."""
    lines = (line for saying in heard if saying.kind == kind for line in saying.lines)
    return [
        line.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") for line in lines
    ]


def only(cells: list[CodeCell], of: str, **known) -> list[Saying]:
    """What is said of one exercise, which was the one shown last."""
    return said(cells, at=of, **known)


RIGHT = [plain(NORMALISED), exercise("D1.1", ROUTER)]


def test_in_order_up_to_the_first_that_does_not_pass_and_the_board_learns_it(work) -> None:
    heard = said([*RIGHT, exercise("D1.2", "ExpertArray = None"), exercise("D1.4a", LOAD)])
    assert [saying.kind for saying in heard] == ["running", "passed", "running", "failed", "end"]
    assert told(heard, "passed") == ["✓ D1.1 TopKRouter: passed"]
    assert told(heard, "failed") == [
        "✗ D1.2 ExpertArray",
        "  its cell defines no ExpertArray",
    ]
    board = json.loads((work / "progress.json").read_text(encoding="utf-8"))
    assert {name: entry["state"] for name, entry in board.items()} == {
        "D1.1": "passed",
        "D1.2": "wrong",
    }
    assert heard[-1].lines[0].startswith("D1 ✓✗") and " of 14 subtasks" in heard[-1].lines[0]


def test_what_changed_is_judged_first_and_what_passed_not_again(work) -> None:
    cells = [*RIGHT, exercise("D1.3", UNWRITTEN), exercise("D1.4a", LOAD)]
    first = said(cells)
    passed = frozenset(d for s in first if s.kind == "passed" for d in s.digests.values())
    cells[-1] = exercise("D1.4a", LOAD + "# edited\n")
    heard = said(cells, before=first[-1].digests, passed=passed, at="D1.3")
    assert told(heard, "running") == [
        "D1.4a expert_load",
        "D1.3 dispatch_combine",
    ]
    assert told(heard, "failed") == ["D1.3 dispatch_combine: not written yet."]


def test_a_part_not_written_yet_waits_for_its_turn_where_it_only_uses_what_changed(work) -> None:
    layer = (
        "class MoELayer(nn.Module):\n    def __init__(self, *sizes):\n        TopKRouter(*sizes)"
    )
    cells = [exercise("D1.1", "TopKRouter = None"), exercise("D1.5", layer)]
    first = said(cells)
    heard = said([*RIGHT, cells[1]], before=first[-1].digests, at="D1.1")
    assert told(heard, "running") == ["D1.1 TopKRouter", "D1.2 ExpertArray"]


def test_an_edit_below_a_part_judges_what_is_built_from_it_too(work) -> None:
    first = said(RIGHT)
    passed = frozenset(d for s in first if s.kind == "passed" for d in s.digests.values())
    wrong = plain(NORMALISED.replace("softmax", "sigmoid").replace("dim=-1", ""))
    heard = said([wrong, RIGHT[1]], before=first[-1].digests, passed=passed)
    assert told(heard, "running") == ["D1.1 TopKRouter"]
    assert "sum to 1" in " ".join(told(heard, "failed"))


def test_a_cell_that_is_missing_says_so(work) -> None:
    assert told(said([]), "failed") == ["✗ D1.1 TopKRouter", "  its cell is missing."]


def test_a_syntax_error_is_the_exercises_verdict(work) -> None:
    heard = only([exercise("D1.4a", "def expert_load(experts:\n    pass")], "D1.4a")
    assert "SyntaxError" in " ".join(told(heard, "failed"))


def test_a_definition_that_raises_is_noted_and_the_rest_runs(work) -> None:
    heard = only([plain("def broken(x=1 / 0): pass"), exercise("D1.4a", LOAD)], "D1.4a")
    assert any("Code cell 2 did not run to its end" in line for line in told(heard, "note"))
    assert "✓ D1.4a expert_load: passed" in told(heard, "passed")


@pytest.mark.parametrize("limit", ["the exercise's cell", "its answer"])
def test_an_endless_loop_is_stopped(work, monkeypatch, limit) -> None:
    monkeypatch.setattr(shared_names, "SECONDS", 0.3)
    monkeypatch.setattr("checks.grading.check.SECONDS", 0.3)
    source = "while True: pass" if limit == "the exercise's cell" else ENDLESS
    start = time.monotonic()
    heard = only([exercise("D1.4a", source)], "D1.4a")
    assert "still running after 0.3 s" in " ".join(told(heard, "failed"))
    assert time.monotonic() - start < 8


def test_prints_are_shown_and_a_flood_is_cut(work, monkeypatch) -> None:
    monkeypatch.setattr("checks.grading.check.SECONDS", 0.3)
    heard = only([exercise("D1.4a", CHATTY)], "D1.4a")
    assert any(line.startswith("  | herehere") for line in told(heard, "note"))
    heard = only([exercise("D1.4a", FLOOD)], "D1.4a")
    notes = [line for line in told(heard, "note") if line.startswith("  | ")]
    assert len(notes) == 1 and notes[0].endswith("x …") and len(notes[0]) < rerun.MOST + 20


def test_an_exit_is_a_verdict(work) -> None:
    heard = only([exercise("D1.4a", "raise SystemExit(3)")], "D1.4a")
    assert "SystemExit" in " ".join(told(heard, "failed"))


def test_a_choice_between_two_cells_is_told(work) -> None:
    heard = only([exercise("D1.4a", LOAD), exercise("D1.4a", LOAD)], "D1.4a")
    assert any("the last of them counts" in line for line in told(heard, "note"))


def test_a_borrowed_part_passes_and_is_called_so(work) -> None:
    borrow = "from solutions.d1_moe import expert_load"
    heard = only([exercise("D1.4a", borrow)], "D1.4a")
    assert told(heard, "passed")[0] == "✓ D1.4a expert_load: borrowed, and it passes"
    board = json.loads((work / "progress.json").read_text(encoding="utf-8"))
    assert board["D1.4a"]["state"] == "borrowed"


def test_a_module_of_ones_own_is_found(work, monkeypatch) -> None:
    (work / "own_loads.py").write_text("import torch\n" + LOAD, encoding="utf-8")
    monkeypatch.syspath_prepend(os.fspath(work))
    heard = only([exercise("D1.4a", "from own_loads import expert_load")], "D1.4a")
    assert told(heard, "passed")[0] == "✓ D1.4a expert_load: passed"


def test_the_turn_is_changed_then_shown_last_then_the_rest() -> None:
    rest, depends, last, passed_before, edited = graded = LESSONS["d1_moe"][:5]
    same, other = Digest("own", "all"), Digest("own", "before")
    now = {check.id: same for check in graded} | {passed_before.id: Digest("this", "all")}
    before = {rest.id: same, depends.id: other, last.id: same, edited.id: Digest("old", "all")}
    before[passed_before.id] = Digest("this", "before")
    job = Job("d1_moe", [], before=before, at=last.id, passed=frozenset([before[passed_before.id]]))
    assert rerun.in_turn(graded, now, job) == [edited, passed_before, last, rest, depends]


def test_at_the_first_save_the_turn_is_the_lessons() -> None:
    graded = list(LESSONS["d1_moe"])
    now = {check.id: Digest(check.id, check.id) for check in graded}
    assert rerun.in_turn(graded, now, Job("d1_moe", [])) == graded
