"""A lesson needs no network once the packages are there: it runs where there is none."""

import os
import subprocess
import sys
from pathlib import Path

from course import ROOT
from tests.namespaces import ALONE

# The lesson that has the most of transformers, which would fetch what it does not find.
LESSON = "d3_mla"


def test_a_whole_lesson_runs_without_network_and_with_an_empty_home(tmp_path: Path):
    told = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))}
    run = subprocess.run(
        [*ALONE, sys.executable, "-m", "tests.offline.lesson", LESSON],
        cwd=ROOT,
        env={**told, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    network, cells = run.stdout.splitlines()[:2]
    assert network == "interfaces: lo; elsewhere: Network is unreachable"
    assert cells.startswith(f"{LESSON}: ")


def test_a_network_that_is_there_is_noticed():
    here = [sys.executable, "-m", "tests.offline.lesson", LESSON]
    run = subprocess.run(here, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("there is a network: ")
