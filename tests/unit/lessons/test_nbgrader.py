"""What nbgrader 0.9 needs, tried without it: its metadata, and the points that it reads."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from checks import LESSONS
from helpers.solution_markers import solved, source_of, stub
from lessons.build import ROOT, stems
from lessons.execute import execute
from lessons.notebooks import learner_notebook, solved_notebook
from lessons.percent import LessonError

D1 = (ROOT / "solutions" / "d1_moe.py").read_text(encoding="utf-8")
IMPORTS = "import torch\nfrom torch import Tensor, nn\nfrom jaxtyping import Float, Int\n"
ROUTER = IMPORTS + source_of(D1, "TopKRouter")

WARNS = """

class TopKRouter(TopKRouter):
    def forward(self, x):
        import warnings

        warnings.warn("seen")
        return super().forward(x)
"""
ANSWERS = {
    "right": (solved(ROUTER), 1.0),
    "wrong": (solved(ROUTER).replace("gates = gates / ", "gates = gates * "), 0.0),
    "unwritten": (stub(ROUTER), 0.0),
    "right, and warns": (solved(ROUTER) + WARNS, 1.0),
}


@pytest.mark.parametrize("stem", stems(ROOT))
@pytest.mark.parametrize("make", [learner_notebook, solved_notebook])
def test_each_exercise_has_one_graded_cell_by_the_rules_of_nbgraders_schema_3(stem, make):
    cells = make(ROOT, stem).cells
    graded = [cell for cell in cells if "nbgrader" in cell.metadata]
    assert [cell.metadata.exercise for cell in graded] == [
        cell.metadata.exercise for cell in cells if "check" in cell.metadata.get("tags", [])
    ]
    assert sorted(cell.metadata.exercise for cell in graded) == sorted(
        check.id for check in LESSONS[stem]
    )
    for cell in graded:
        told = cell.metadata.nbgrader
        assert told.schema_version == 3 and told.points == 1
        assert (told.grade, told.locked, told.solution, told.task) == (True, True, False, False)
        assert told.grade_id == cell.id and re.fullmatch(r"[\w-]+", cell.id)
        assert cell.cell_type == "code" and set(told) == {
            *("schema_version", "points", "grade", "locked", "solution", "task", "grade_id")
        }
    assert len({cell.id for cell in graded}) == len(graded)


def points(cell: NotebookNode) -> float:
    """As `nbgrader.utils.determine_grade` reads them; what it only warns of is an error here."""
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            return 0.0
        if output.output_type == "execute_result":
            return float(output.data["text/plain"])
    raise AssertionError("the cell has no value")


def run(folder: Path, *sources: str) -> list[NotebookNode]:
    """The cells as they ran in a kernel that was started in `folder`, to the first that failed."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    try:
        execute(notebook, folder)
    except LessonError as error:
        assert "CheckFailed" in str(error)
    return notebook.cells


@pytest.fixture
def submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what one learner handed in, while nbgrader grades it."""
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    return tmp_path


@pytest.mark.parametrize(("answer", "worth"), ANSWERS.values(), ids=ANSWERS)
def test_a_check_is_worth_a_point_or_none(submission, answer, worth):
    check = "from checks.d1_moe import check_router\ncheck_router(TopKRouter, seed=0)"
    cells = run(submission, answer, check)
    assert points(cells[1]) == worth


def test_a_later_lesson_takes_the_parts_of_the_same_submission(submission):
    cells = [
        new_code_cell(answer, metadata={"tags": ["exercise"], "exercise": id})
        for answer, id in ((solved(ROUTER), "D1.1"), ("def load_cv(load): return 7", "D1.4b"))
    ]
    nbformat.write(new_notebook(cells=cells), submission / "d1_moe.ipynb")
    told = run(submission, "from checks.learner.carry import carry\ncarry('d1_moe').origin")
    said = told[0].outputs[-1].data["text/plain"]
    assert "'TopKRouter': 'yours'" in said and "'load_cv': 'reference (yours: " in said
    assert json.loads((submission / "progress.json").read_text())["D1.1"]["state"] == "passed"
