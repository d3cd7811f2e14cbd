"""Several processes train the model that one would, and go on from one another's checkpoints."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course import ROOT
from helpers.checkpoints.weight_files import WEIGHTS
from tests.processes.launch import launch
from tests.processes.trainings import STEPS, by_processes, by_the_lesson

NEAR = 1e-5  # nats per token
NO_NOTEBOOKS = shutil.ignore_patterns("*.py", "train", "__pycache__")


@pytest.fixture(scope="module")
def lesson() -> tuple[list[float], list[float]]:
    return by_the_lesson()


@pytest.mark.parametrize(
    ("count", "experts", "resumed"), [(2, 1, (4, 4)), (2, 2, (1, 1)), (4, 2, (2, 2))]
)
def test_the_losses_are_those_of_one_process(lesson, tmp_path, count, experts, resumed) -> None:
    """Also after a stop half-way, on another number of processes and another split."""
    wanted, bias = lesson
    for begin, losses, moved in launch(by_processes, count, experts, tmp_path, STEPS // 2):
        assert begin == 0
        assert losses == pytest.approx(wanted, abs=NEAR)
        assert moved == bias
    for begin, losses, moved in launch(by_processes, resumed[0], resumed[1], tmp_path, STEPS):
        assert begin == STEPS // 2
        assert losses == pytest.approx(wanted[begin:], abs=NEAR)
        assert moved == bias


def command(*words: str) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [sys.executable, *launcher, "-m", "solutions.train", *words]


def trained_on_text(course: Path, folder: Path, parts: str) -> str:
    """What the command says that trains four steps on README.md, in a course at `course`."""
    words = ["--text", str(ROOT / "README.md"), "--steps", "4", "--batch", "4", "--length", "32"]
    words += ["--vocabulary", "300", "--expert-parallel", "2", "--show-every", "1"]
    found = subprocess.run(
        command(str(folder), *words, "--parts", parts), cwd=course, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def by_reference(tmp_path_factory) -> tuple[str, Path]:
    """What was said when the reference's parts were trained on a text, and the folder of it."""
    folder = tmp_path_factory.mktemp("reference")
    return trained_on_text(ROOT, folder, "reference"), folder


def test_a_text_is_trained_on_by_the_command(by_reference) -> None:
    said, folder = by_reference
    assert said.startswith("every part is the reference's\n")
    assert "step 4 of 4: loss" in said
    assert (folder / "model" / WEIGHTS).is_file()


def test_a_learners_parts_train_as_the_references(by_reference, tmp_path) -> None:
    """Of four passed notebooks, in a course of its own; the second process shows its loss."""
    for name in ("checks", "helpers", "solutions"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "solutions", tmp_path / "work", ignore=NO_NOTEBOOKS)
    d4 = tmp_path / "work" / "d4_deepseek.ipynb"
    own = "if torch.distributed.is_initialized() and torch.distributed.get_rank(): print('my loss')"
    line = "    marked = targets.masked_fill("
    text = d4.read_text(encoding="utf-8")
    assert text.count(line) == 1
    d4.write_text(text.replace(f'"{line}', f'"    {own}\\n", "{line}'), encoding="utf-8")
    said = trained_on_text(tmp_path, tmp_path / "out", "mine")
    assert "every part is yours\n" in said and "my loss" in said
    wanted, folder = by_reference
    assert losses(said) == losses(wanted) and len(losses(said)) == 4
    weights = [path / "model" / WEIGHTS for path in (tmp_path / "out", folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def losses(said: str) -> list[str]:
    """What was said of each step, without its speed."""
    return re.findall(r"^(step .*), [\d,]+ tokens/s$", said, re.MULTILINE)


def test_a_killed_process_ends_the_job_and_the_next_goes_on(tmp_path) -> None:
    words = [str(tmp_path), "--steps", "400", "--batch", "2", "--save-every", "5"]
    words += ["--parts", "reference"]
    job = subprocess.Popen(
        command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not list(tmp_path.glob("step-*/.metadata")):
        assert job.poll() is None
        time.sleep(0.2)
    os.kill(_child(job.pid), signal.SIGKILL)
    said, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "SIGKILL" in said or "Signal 9" in said
    saved = max(int(path.parent.name[5:]) for path in tmp_path.glob("step-*/.metadata"))
    words[2] = str(saved + 2)
    again = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"goes on after step {saved}" in again.stdout


def _child(pid: int) -> int:
    """A process of the job that `pid` launched."""
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True)
    return int(found.stdout.split()[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "0"], "it must be at least 1"),
        (["--text", "nowhere.txt"], "there is no file nowhere.txt"),
        (["--sizes", "nowhere.json"], "--sizes: "),
        (["--expert-parallel", "2"], "must divide all 1 of them, got 2"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, words, said) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "solutions.train", str(tmp_path), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode in (1, 2)
    assert said in found.stderr and "Traceback" not in found.stderr
