"""A learner's notebooks are judged as `validate` judges them; what ends a process is left out."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from checks import LESSONS
from checks.learner import validate
from checks.learner.class_report.deciding import deciding
from checks.learner.class_report.handed_in import HandedIn
from checks.learner.class_report.one_learner import grade
from checks.learner.class_report.rows import Row
from checks.learner_files import paths
from checks.learner_files.answers import answers
from checks.learner_files.notebook import read
from tests.unit.checks.learner.cells import ROUTER, UNFILLED

SETUP = "import torch\nfrom torch import nn"
ALONE = ROUTER.replace("normalised(values)", "values.softmax(dim=-1)")
WRONG = """
def dispatch_combine(x, gates, experts, expert_array):
    return x
"""
BORROWED = (
    "from checks.d1_moe import check_expert_load\nexpert_load = check_expert_load.reference()"
)
RAISES = "def load_cv(load):\n    return undefined"
BROKEN = "def max_violation(load:"
D1 = [check.id for check in LESSONS["d1_moe"]]


def cell(exercise, source, role="exercise"):
    return new_code_cell(source, metadata={"tags": [role], "exercise": exercise})


def notebook(*cells):
    return nbformat.writes(new_notebook(cells=list(cells))).encode()


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder for the length of a test, which may change the current folder."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    paths.WORK.mkdir()
    monkeypatch.chdir(tmp_path)
    return paths.WORK


@pytest.fixture
def first_six():
    return notebook(
        new_markdown_cell("# D1"),
        new_code_cell(SETUP, metadata={"tags": ["setup"]}),
        cell("D1.1", ALONE),
        cell("D1.1", "1 / 0", "check"),
        new_code_cell("raise RuntimeError('a picture that is not needed')"),
        cell("D1.2", UNFILLED),
        cell("D1.3", WRONG),
        cell("D1.4a", BORROWED),
        cell("D1.4b", RAISES),
        cell("D1.4c", BROKEN),
    )


def graded(content, rows=None, fatal=None):
    """The rows of D1 by exercise, and everything else that was told."""
    told = []
    rows = {each.exercise: each for each in rows or ()}
    notebooks = {} if content is None else {"d1_moe": content}
    grade(HandedIn(notebooks, dict(rows), fatal or {}), 3, lambda **news: told.append(news))
    found = {
        news["row"]["exercise"]: Row.of(json.loads(json.dumps(news["row"])))
        for news in told
        if "row" in news
    }
    return {e: row for e, row in found.items() if e in D1}, [n for n in told if "row" not in n]


def test_each_exercise_has_its_state_stage_message_and_seed(work, first_six):
    rows, told = graded(first_six)
    assert list(rows) == D1
    wanted = ["passed", "unwritten", "wrong", "borrowed", "raised", "raised"]
    assert [rows[e].state for e in D1[:6]] == wanted
    assert {rows[e].state for e in D1[6:]} == {"missing"}
    assert [rows[e].seed for e in D1[:7]] == [3, 3, 3, 3, 3, None, None]
    assert rows["D1.3"].stage in LESSONS["d1_moe"][2].stages
    assert "seed=3 reproduces this case" in rows["D1.3"].message
    assert "undefined" in rows["D1.4b"].message
    assert rows["D1.4c"].message.startswith("There is no max_violation: SyntaxError")
    begun = [news["begin"] for news in told if "begin" in news]
    assert begun[:3] == ["read d1_moe", "set-up d1_moe", "cell d1_moe 1"]
    assert "check D1.1" in begun
    assert "cell d1_moe 3" not in begun


def test_validation_finds_the_same_states(work, first_six, capsys):
    rows, _ = graded(first_six)
    (work / "d1_moe.ipynb").write_bytes(first_six)
    validate.validate(["d1_moe"])
    lines = capsys.readouterr().out.splitlines()
    passed = {line.split()[1] for line in lines if line.strip().startswith("✓")}
    assert passed == {e for e, row in rows.items() if row.done}
    (unwritten,) = (line for line in lines if line.endswith("not written yet."))
    assert "D1.2" in unwritten


def test_the_cells_are_those_that_validation_runs(work, first_six):
    (work / "d1_moe.ipynb").write_bytes(first_six)
    cells = read(work / "d1_moe.ipynb")
    found = answers(cells, {check.id: check.name for check in LESSONS["d1_moe"]})
    assert list(deciding(cells, found).values()) == validate._defining(cells, found)


def test_what_ended_a_process_is_not_run_again(work):
    content = notebook(
        new_code_cell(SETUP, metadata={"tags": ["setup"]}),
        cell("D1.1", ALONE + "\nraise SystemError('run again')"),
        cell("D1.4a", "def expert_load(experts, num_experts):\n    raise SystemError"),
        new_code_cell("def broken():\n    pass"),
    )
    why = {"cell d1_moe 1": ["ended the process"], "check D1.4a": ["took too much"]}
    rows, told = graded(content, fatal={**why, "cell d1_moe 3": ["forked"]})
    assert rows["D1.1"].state == rows["D1.4a"].state == "ended"
    assert rows["D1.1"].message.startswith("It ended the process. ")
    assert rows["D1.4a"].message.startswith("It took too much. ")
    notes = [news["note"] for news in told if "note" in news]
    assert "Code cell 4 of d1_moe.ipynb was left out: it forked." in notes
    assert [each.source.strip() for each in read(work / "d1_moe.ipynb")][1:] == ["", "", ""]


def test_what_never_ends_is_not_carried_and_costs_its_own_row(work):
    endless = ALONE.replace("values, experts", "while True: pass\n        values, experts")
    moe_layer = (
        "from solutions.d1_moe import MoELayer as Layer\n\n\nclass MoELayer(Layer):\n    pass"
    )
    content = notebook(
        new_code_cell(SETUP, metadata={"tags": ["setup"]}),
        cell("D1.1", endless),
        cell("D1.5", moe_layer),
    )
    rows, _ = graded(content)
    assert rows["D1.1"].state == "stopped"
    assert rows["D1.5"].state == "passed"
    again, _ = graded(content, rows=rows.values())
    assert again == {}


@pytest.mark.parametrize(
    ("content", "fatal", "state", "said"),
    [
        (None, {}, "missing", "No d1_moe.ipynb was handed in."),
        (b"{", {}, "unreadable", "d1_moe.ipynb in work/ cannot be read as a notebook"),
        (b"[" * 100_000, {}, "unreadable", "d1_moe.ipynb in work/ cannot be read"),
        (b"{}", {"read d1_moe": ["hung"]}, "unreadable", "Reading d1_moe.ipynb hung."),
        (b"{}", {"set-up d1_moe": ["died", "died"]}, "not run", "The set-up cell of d1_moe.ipynb"),
    ],
)
def test_a_notebook_that_cannot_be_run_costs_its_own_rows(work, content, fatal, state, said):
    rows, _ = graded(content, fatal=fatal)
    assert {row.state for row in rows.values()} == {state}
    assert all(row.message.startswith(said) for row in rows.values())
    assert not (work / "d1_moe.ipynb").exists()


def test_a_later_lesson_finds_the_earlier_ones_unless_carrying_them_ended_it(work):
    content = notebook(cell("D1.1", ALONE))
    handed_in = HandedIn({"d1_moe": content}, {}, {})
    handed_in.prepare_work("d2_deepseek_moe")
    assert (work / "d1_moe.ipynb").exists()
    handed_in.fatal["set-up d2_deepseek_moe"] = ["ended"]
    handed_in.prepare_work("d2_deepseek_moe")
    assert not (work / "d1_moe.ipynb").exists()
