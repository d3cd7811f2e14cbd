"""The process: it lives through whatever runs in it, however the system starts it."""

import time
from pathlib import Path

import pytest

from checks.learner.watch import child
from checks.learner.watch.child import Child
from checks.learner.watch.rerun import Job, Saying
from checks.learner_files.notebook import CodeCell

# From Python 3.12 on it warns of a copy of a process that has threads, as numpy's.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

SETUP = CodeCell("import torch\nfrom torch import nn", "setup", None)
LOAD = """
def expert_load(experts, num_experts):
    return torch.bincount(experts.flatten(), minlength=num_experts)
"""
DIES = "def expert_load(experts, num_experts):\n    import os\n    os._exit(3)"
SLEEPS = "import time\ntime.sleep(1000)\ndef expert_load(experts, num_experts): pass"


def serve_in_a_folder(lesson, connection, other_end) -> None:
    """`serve`, with a work folder that the environment names, since nothing else reaches it."""
    import os

    from checks.learner_files import paths

    paths.WORK = Path(os.environ["WATCHED_FOLDER"])
    child.serve(lesson, connection, other_end)


@pytest.fixture
def started(tmp_path, monkeypatch):
    monkeypatch.setenv("WATCHED_FOLDER", str(tmp_path))
    made: list[Child] = []

    def start(method: str) -> Child:
        made.append(Child("d1_moe", method, serve_in_a_folder))
        return made[-1]

    yield start
    for one in made:
        one.end()


def job(source: str) -> Job:
    cells = [SETUP, CodeCell(source, "exercise", "D1.4a")]
    return Job("d1_moe", cells, at="D1.4a")


def all_said(process: Child, seconds: float = 60.0) -> list[Saying]:
    heard: list[Saying] = []
    end = time.monotonic() + seconds
    while not heard or heard[-1].kind not in ("end", "lost"):
        assert time.monotonic() < end, heard
        said = process.listen(0.2)
        heard += [said] if said else []
    return heard


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_job_is_run_and_everything_said(started, tmp_path, method) -> None:
    process = started(method)
    process.start(job(LOAD))
    heard = all_said(process)
    assert [saying.kind for saying in heard[:2]] == ["running", "passed"]
    assert (tmp_path / "progress.json").is_file()


def test_a_copy_is_ready_at_once(started) -> None:
    started("fork")
    start = time.monotonic()
    process = started("fork")
    process.start(job(LOAD))
    all_said(process)
    assert time.monotonic() - start < 4  # 2 s on a quiet machine


def test_code_that_ends_the_process_is_told(started) -> None:
    process = started("fork")
    process.start(job(DIES))
    heard = all_said(process)
    assert heard[-1].kind == "lost" and "does a line end Python itself?" in heard[-1].lines[0]


def test_it_can_be_ended_while_it_waits_for_ever(started) -> None:
    process = started("fork")
    process.start(job(SLEEPS))
    while (said := process.listen(5)) is None or said.kind != "running":
        pass
    start = time.monotonic()
    process.end()
    assert time.monotonic() - start < 2


def test_one_that_says_nothing_for_too_long_is_ended(started, monkeypatch) -> None:
    monkeypatch.setattr(child, "LONGEST", 0.5)
    process = started("fork")
    process.start(job(SLEEPS))
    heard = all_said(process)
    assert heard[-1].kind == "lost" and "nothing was heard" in heard[-1].lines[0]


def test_one_that_died_before_its_job_is_told_when_it_is_asked(started) -> None:
    process = started("fork")
    process._process.kill()
    process._process.join()
    process.start(job(LOAD))
    assert all_said(process)[-1].kind == "lost"


def test_the_setups_modules_are_loaded_beforehand() -> None:
    modules = child._imported_by_setup("d2_deepseek_moe")
    assert "helpers.training_loops.balancing" in modules and "matplotlib.pyplot" in modules


def test_without_built_notebooks_nothing_is_loaded_beforehand(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(child.paths, "ROOT", tmp_path)
    assert child._imported_by_setup("d2_deepseek_moe") == []
