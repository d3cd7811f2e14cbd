"""Torch's threads soon sleep while they wait, in every process, unless told otherwise."""

import ast
import importlib.util
import json
import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from checks import LESSONS
from checks.learner_files import notebook
from course import ROOT

POLICY = "OMP_WAIT_POLICY"
SPINS = "GOMP_SPINCOUNT"

# Afterwards `seen` holds the policy at the moment when torch is first looked for.
SPY = f"""
import os, sys

seen = []

class Spy:
    def find_spec(name, *_):
        if name == "torch" and not seen:
            seen.append(os.environ.get("{POLICY}"))

assert "torch" not in sys.modules
sys.meta_path.insert(0, Spy)
"""


@pytest.fixture(autouse=True)
def not_set(monkeypatch):
    """These tests' own process has the policy set, and its children would inherit it."""
    monkeypatch.delenv(POLICY)
    monkeypatch.delenv(SPINS, raising=False)


@pytest.fixture
def course(tmp_path) -> ModuleType:
    """course.py for a `.venv` of its own that has no pip and finds the packages of this one.

    A .pth file points to them, as an editable install of pip does, so that none of theirs is run.
    """
    spec = importlib.util.spec_from_file_location("course", ROOT / "course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    course.VENV = tmp_path / ".venv"
    venv.create(course.VENV, with_pip=False, symlinks=os.name != "nt")
    own = next(path for path in course.VENV.rglob("site-packages") if not path.is_symlink())
    lines = "\n".join([str(ROOT), *site.getsitepackages()])
    (own / "packages.pth").write_text(lines, encoding="utf-8")
    return course


def policy(course: ModuleType, name: str = POLICY) -> str:
    """What a process of the environment finds set, without looking at the user's folders."""
    command = course.python("-I", "-c", f"import os; print(os.environ.get('{name}'))")
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return run.stdout.strip()


def told_by_kernel(course: ModuleType, folder: Path, monkeypatch, *cells: str) -> str:
    """What the last of the cells prints, in a kernel that the environment's Python runs."""
    command = course.python("-I", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    kernel = folder / "jupyter" / "kernels" / "its_own" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    spec = {"argv": command, "display_name": "its own", "language": "python"}
    kernel.write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    nb = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(nb, kernel_name="its_own", resources=resources, timeout=300).execute()
    nbformat.validate(nb)
    return nb.cells[-1].outputs[0].text.strip()


def setup_cell(lesson: str) -> str:
    cells = notebook.read(ROOT / "notebooks" / f"{lesson}.ipynb")
    return next(cell.source for cell in cells if cell.role == "setup")


def test_every_process_of_the_environment_has_it_set(course):
    assert policy(course) == policy(course, SPINS) == "None"
    course.let_threads_sleep()
    assert (policy(course), policy(course, SPINS)) == ("PASSIVE", "3000")


def test_the_learners_own_setting_stays(course, monkeypatch):
    course.let_threads_sleep()
    monkeypatch.setenv(POLICY, "ACTIVE")
    assert (policy(course), policy(course, SPINS)) == ("ACTIVE", "None")
    monkeypatch.setenv(POLICY, "PASSIVE")
    monkeypatch.setenv(SPINS, "7")
    assert policy(course, SPINS) == "7"


def test_preparing_sets_it_also_where_all_is_installed(course, monkeypatch):
    monkeypatch.setattr(course, "runs", lambda *arguments: True)
    course.write(course.VENV / "course.stamp", course.pins().encode("ascii"))
    course.prepare()
    assert policy(course) == "PASSIVE"


def test_a_file_that_says_something_else_is_written_anew_and_the_right_one_left(course):
    course.let_threads_sleep()
    [path] = course.VENV.rglob("deepseek_by_hand_threads.pth")
    written = path.stat().st_mtime_ns
    course.let_threads_sleep()
    assert path.stat().st_mtime_ns == written
    path.write_bytes(b"import o")  # cut off
    course.let_threads_sleep()
    assert policy(course) == "PASSIVE"


def test_a_kernel_of_the_environment_has_it_set_before_its_first_cell(
    course, tmp_path, monkeypatch
):
    course.let_threads_sleep()
    cell = f"import os, sys\nprint(os.environ['{POLICY}'], 'torch' in sys.modules)"
    assert told_by_kernel(course, tmp_path, monkeypatch, cell) == "PASSIVE False"


def test_a_kernel_of_any_other_environment_has_it_set_once_the_set_up_cell_loads_torch(
    course, tmp_path, monkeypatch
):
    """As `pip install -e .` leaves one: it finds this project's folders and has no file of ours."""
    cells = SPY, setup_cell("d1_moe"), "print(*seen)"
    assert told_by_kernel(course, tmp_path, monkeypatch, *cells) == "PASSIVE"


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_set_up_cell_begins_with_helpers(lesson):
    first = ast.parse(setup_cell(lesson)).body[0]
    assert ast.unparse(first) == "import helpers"


@pytest.mark.parametrize("module", ["checks", "checks.__main__", "benchmarks.__main__", "conftest"])
def test_what_loads_torch_has_it_set_first(module):
    code = f"{SPY.replace('seen.append', 'sys.exit')}import {module}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert run.stderr == "PASSIVE\n"


def test_helpers_leave_the_learners_own_setting():
    code = f"import os, helpers; print(os.environ['{POLICY}'], os.environ.get('{SPINS}'))"
    command, environment = [sys.executable, "-c", code], {**os.environ, POLICY: "ACTIVE"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert run.stdout == "ACTIVE None\n"


def test_torchs_openmp_reads_what_helpers_set(monkeypatch):
    """GNU's, which Linux has, then spins for microseconds; by default it spins 300,000 times."""
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    command = [sys.executable, "-c", "import helpers, torch"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert re.search(rf"{POLICY}\s*=\s*'PASSIVE'", run.stderr)
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", run.stderr)) <= {"3000"}
