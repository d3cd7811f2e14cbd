"""What is otherwise on Windows and macOS, taken away or put there on whatever system this is.

More of it: a limit without `setitimer` in `test_time_limit.py`, a file that may not be replaced in
`test_atomic_file.py` and `test_progress.py`, a Mac with an Intel processor in `test_commands.py`.
"""

import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import course
from checks import CHECKS
from checks.learner import validate
from checks.learner_files import paths
from checks.processes import pool

LOAD = "import torch\n\ndef expert_load(experts, num_experts):\n"
LOAD += "    return torch.bincount(experts.flatten(), minlength=num_experts)\n"


def test_without_fork_the_processes_of_an_exercise_are_spawned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    spawned = pool.Pool()
    try:
        outcomes = spawned.run(None, 2, pool._met, ())
        assert spawned.context.get_start_method() == "spawn"
        assert [pickle.loads(outcome.value) for outcome in outcomes] == [0, 1, 0, 1]
    finally:
        for each in spawned.workers:
            each.process.kill()


@pytest.mark.parametrize("encoding", ["cp1252", "cp866", "ascii"])
def test_a_console_that_lacks_the_symbols_prints_the_whole_board(encoding: str):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "checks", "status"]
    run = subprocess.run(command, cwd=course.ROOT, env=environment, capture_output=True, check=True)
    lines = run.stdout.decode(encoding).splitlines()
    assert len(lines) > len(CHECKS) and run.stderr == b""
    assert not any("?" in line for line in lines)


def test_backslashes_in_the_folders_path_mean_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    work = tmp_path / "C:\\Users\\new\\work"
    work.mkdir(parents=True)
    cell = new_code_cell(LOAD, metadata={"tags": ["exercise"], "exercise": "D1.4a"})
    nbformat.write(new_notebook(cells=[cell]), work / "d1_moe.ipynb")
    monkeypatch.setattr(paths, "WORK", work)
    assert validate.validate(["d1_moe"]) == 1
    assert "✓ D1.4a expert_load: passed" in capsys.readouterr().out


def test_windows_keeps_python_and_its_packages_in_folders_of_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(course, "VENV", tmp_path)
    packages = tmp_path / "Lib" / "site-packages"
    packages.mkdir(parents=True)
    with monkeypatch.context() as windows:
        windows.setattr(course.os, "name", "nt")
        windows.delattr(course.os, "geteuid", raising=False)
        command = course.python("-V")
        assert not course.is_root()
        course.let_threads_sleep()
    assert command == [str(tmp_path / "Scripts" / "python.exe"), "-V"]
    assert [path.name for path in packages.iterdir()] == ["deepseek_by_hand_threads.pth"]
