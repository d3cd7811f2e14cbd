"""What torch imports at a first step costs no answer its time; the first in a fresh process."""

import subprocess
import sys

import pytest

import checks.grading.check
from checks import CHECKS
from course import ROOT

# The import of torch._dynamo and 810 modules more takes 2 s of computing: four times the limit.
FIRST_STEP = """
import sys, time
import torch
import checks.grading.check

def step():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.5)
    weight.sum().backward()
    optimizer.step()
    return weight

def takes_a_step(answer, case):
    before = time.thread_time()
    assert answer().max() < 1
    case.append(time.thread_time() - before)

assert "torch._dynamo" not in sys.modules, "import checks loads it"
checks.grading.check.SECONDS = 0.5
used = []
stages = {"steps": takes_a_step}
check = checks.Check("D9.1", "step", step, lambda rng: [used], stages, ("",) * 3)
assert check(step).passed
assert "torch._dynamo" in sys.modules
assert used[0] > checks.grading.check.SECONDS, "the import took less than the limit"
assert check(step).passed
assert used[1] < checks.grading.check.SECONDS
"""


def test_the_first_step_of_a_process_passes_with_a_limit_that_its_import_exceeds():
    command = [sys.executable, "-c", FIRST_STEP]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("id", ["D3.4", "D4.2b", "D4.3b"])
def test_what_a_check_needs_is_loaded_before_its_first_stage(id, monkeypatch):
    loaded, seen = [], []
    monkeypatch.setattr(checks.grading.check, "import_module", loaded.append)
    check = CHECKS[id]
    stages = dict.fromkeys(check.stages, lambda answer, case: seen.append(list(loaded)))
    monkeypatch.setattr(check, "stages", stages)
    assert check(check.reference_answer, seed=0).passed
    assert seen[0] == ["torch._dynamo"]
