"""How long torch's threads spin before they sleep, and what a training step of D4 takes then.

`python -m benchmarks waiting` trains in fresh processes in turn, since OpenMP reads its settings
once; with a number it keeps so many cores busy meanwhile.
"""

import os
import statistics
import subprocess
import sys

import helpers  # noqa: F401  # isort: skip  # before torch: its threads then sleep
import torch

from benchmarks.models import ours
from benchmarks.side_by_side import training_step
from helpers.measuring.timing import milliseconds

SPINS = ("0", "3000", "300000")  # at once, as `helpers` sets it, and GNU's own without a policy
TURNS = 3
STEPS = 10


def main(busy: str = "0") -> None:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(int(busy))]
    try:
        ways = [("1", "0"), *(("2", spins) for spins in SPINS)]
        found = {way: [_measured(*way) for _ in range(TURNS)] for way in ways}
    finally:
        for loop in loops:
            loop.kill()
    print("threads   spins   ms a step, median of each process")
    for (threads, spins), each in found.items():
        print(f"{threads:>7} {spins:>7}   {', '.join(f'{ms:.0f}' for ms in each)}")


def _measured(threads: str, spins: str) -> float:
    command = [sys.executable, "-m", "benchmarks.waiting", threads]
    settings = {**os.environ, "GOMP_SPINCOUNT": spins}
    run = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    return float(run.stdout)


def step_of(threads: int) -> float:
    """The median milliseconds of a training step of D4's model in this process."""
    torch.set_num_threads(threads)
    step = training_step("d4", ours("d4"))
    step()
    return statistics.median(milliseconds(step) for _ in range(STEPS))


if __name__ == "__main__":
    print(step_of(int(sys.argv[1])))
