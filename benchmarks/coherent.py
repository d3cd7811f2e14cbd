"""How long D4's model takes to coherent text, here and at another commit, in turn.

`python -m benchmarks coherent FOLDER`, with a checkout of the other commit, prints a row for every
100 steps of the lesson's run, until 0.9 of the stories of both hold together.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.models import STORIES_THETA, fields_of

CHUNK, STEPS = 100, 800
COHERENT = 0.9
RUN = f"""
import json, sys, time
import helpers
import torch
torch.set_num_threads(1)
from helpers.data.story_rows import StoryRows
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, generate, train
rows = StoryRows.build(count=20_000, held_out=400, seed=0)
torch.manual_seed(0)
config = DeepSeekConfig(**json.loads(sys.argv[1]))
run = StoryRun(DeepSeek(config), rows, {STEPS}, generate=generate, every={CHUNK})
for _ in sys.stdin:
    start = time.perf_counter()
    run.train(train, {CHUNK})
    print(time.perf_counter() - start, run.points[-1].coherent, flush=True)
"""


def main(folder: str) -> None:
    """Prints seconds so far and coherence of both, and the ratio of the seconds."""
    runs = [_started(Path.cwd()), _started(Path(folder))]
    seconds = [0.0, 0.0]
    print("| steps | here, s | coherent | there, s | coherent | of it |\n" + 6 * "|---" + "|")
    for steps in range(CHUNK, STEPS + 1, CHUNK):
        coherent = []
        for i, run in enumerate(runs):
            taken, score = _next(run)
            seconds[i] += taken
            coherent.append(score)
        cells = f"{seconds[0]:.1f} | {coherent[0]:.2f} | {seconds[1]:.1f} | {coherent[1]:.2f}"
        print(f"| {steps} | {cells} | {seconds[0] / seconds[1]:.2f} |", flush=True)
        if min(coherent) >= COHERENT:
            break
    for run in runs:
        run.terminate()


def _started(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(fields_of("d4") | {"theta": STORIES_THETA})],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _next(run: subprocess.Popen[str]) -> tuple[float, float]:
    """The seconds and the coherence of the next steps, while the other run waits."""
    assert run.stdin and run.stdout
    run.stdin.write("go\n")
    run.stdin.flush()
    taken, coherent = run.stdout.readline().split()
    return float(taken), float(coherent)
