"""How much memory a training step takes at its peak, ours beside transformers', in fresh processes.

`python -m benchmarks.peak_memory SIZE ours`, or one of transformers' ways in place of `ours`,
prints the megabytes that a process grows by over four steps, model and optimiser included.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helpers  # noqa: F401  # isort: skip  # before torch: its threads then sleep
import torch

from benchmarks.compared import Compared, of_pairs
from benchmarks.models import SIZES, expert_ways, ours, theirs
from benchmarks.side_by_side import training_step

TURNS = 5
STEPS = 4


def rows() -> Iterator[Compared]:
    """A row for each of the two sizes that are trained; at least as little is asked."""
    for name in ("d4", "wide"):
        own = [_measured(name, "ours") for _ in range(TURNS)]
        ways = expert_ways(name, SIZES[name]["batch"] * SIZES[name]["length"])
        others = {way: [_measured(name, way) for _ in range(TURNS)] for way in ways}
        way = min(others, key=lambda w: statistics.median(others[w]))
        what = f"peak memory of a training step, {SIZES[name]['what']}"
        pairs = list(zip(own, others[way], strict=True))
        yield of_pairs(what, 1, 1.0, f"{way}, eager", pairs, "MB")


def _measured(name: str, way: str) -> float:
    command = [sys.executable, "-m", "benchmarks.peak_memory", name, way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(name: str, way: str) -> None:
    torch.set_num_threads(1)
    before = _peak()
    model: Any = ours(name)
    if way != "ours":
        with TemporaryDirectory() as folder:
            model.to_hf(folder)
            model = theirs(Path(folder), way, "eager")
    step = training_step(name, model)
    for _ in range(STEPS):
        step()
    print(_peak() - before)


def _peak() -> float:
    """The largest that this process has been, in MB; on Linux, which tells it since the start."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
