"""Which files are the checks' own, wherever they lie, and that the machinery needs no lesson."""

import os
import subprocess
import sys

import pytest

from checks.grading import traceback
from checks.learner_files import paths

OWN = ["check.py", "grading/check.py", "d1_moe/router.py", "audit/mutants.py", "__main__.py"]
ANSWERS = ["audit/bank/d1_moe/router.py", "audit/bank/d1_moe/router/right.py"]


@pytest.mark.parametrize("file", OWN)
def test_whatever_lies_below_checks_is_the_machinery(file):
    assert traceback.is_checks(str(paths.CHECKS / file))
    assert not traceback.is_learners(str(paths.CHECKS / file))


@pytest.mark.parametrize("file", ANSWERS)
def test_an_answer_of_the_bank_is_judged_as_a_learners(file):
    assert not traceback.is_checks(str(paths.CHECKS / file))
    assert traceback.is_learners(str(paths.CHECKS / file))


@pytest.mark.parametrize("file", ["<cell of a notebook>", str(paths.ROOT / "solutions/d1_moe.py")])
def test_cells_and_solutions_are_answers(file):
    assert traceback.is_learners(file) and not traceback.is_checks(file)


MACHINERY = (
    "import sys, checks, checks.__main__, checks.learner.carry, checks.learner.export, "
    "checks.learner.validate"
)
LOADED = "print([name for name in sys.modules if name.startswith(('checks.d', 'solutions.'))])"


def test_the_machinery_loads_no_lesson_until_one_is_asked_for():
    command = [sys.executable, "-c", f"{MACHINERY}\n{LOADED}\nprint(len(checks.CHECKS))"]
    run = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n43\n"


@pytest.mark.parametrize("first", ["import helpers, solutions.d1_moe", "import helpers, checks"])
def test_a_file_that_hides_the_helpers_is_named(tmp_path, first):
    (tmp_path / "helpers.py").write_text("mine = 1\n", encoding="utf-8")
    path = f"import sys\nsys.path.append({str(paths.ROOT)!r})\n"
    command = [sys.executable, "-c", path + first]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = run.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {tmp_path / 'helpers.py'} has the name of the course's")
