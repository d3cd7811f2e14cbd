"""Trains a DeepSeek on stories or text files, on as many processes as torchrun starts.

python -m solutions.train FOLDER [--text FILE ...]
torchrun --nproc-per-node 4 -m solutions.train FOLDER --expert-parallel 2
"""

import helpers  # noqa: F401  # isort: skip  # before torch: its threads sleep while they wait
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from solutions.train import arguments, training
from solutions.train.parts import reference_parts
from solutions.train.processes import Processes, processes


def main(words: list[str] | None = None) -> int:
    """Returns 0 after the last step, with the model in FOLDER, or 1 after one sentence."""
    chosen = arguments.read(words)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    try:
        with processes(chosen.expert_parallel, torch.device(chosen.device)) as group:
            run(chosen, group)
    except ValueError as error:
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"solutions.train: {error}", file=sys.stderr)
        return 1
    return 0


def run(chosen: Namespace, group: Processes) -> None:
    """Says whose parts it trains, and trains them."""
    if chosen.batch < group.count:
        raise ValueError(f"--batch must be at least the {group.count} processes")
    say = print if group.rank == 0 else _silent
    training.run(chosen, group, _parts(chosen, say), say)


def _parts(chosen: Namespace, say: Callable[..., None]) -> dict[str, Any]:
    if chosen.parts == "reference":
        say("every part is the reference's")
        return reference_parts()
    from checks.learner import parts_to_train  # what judges needs more than torch

    parts, told = parts_to_train.learners()
    say(told, flush=True)
    return parts


def _silent(*words: object, flush: bool = False) -> None:
    """What the other processes say."""


if __name__ == "__main__":
    sys.exit(main())
