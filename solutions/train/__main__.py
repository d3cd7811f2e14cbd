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

from helpers.data.corpus import END_OF_TEXT
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.optimiser import optimiser_and_schedule
from solutions.d4_deepseek import DeepSeek
from solutions.train import arguments, checkpoints, data
from solutions.train.local_experts import keep_local_experts
from solutions.train.loop import train
from solutions.train.parts import learners_parts, reference_parts
from solutions.train.processes import Processes, processes
from solutions.train.sharding import shard
from solutions.train.telling import Telling


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
    """Trains from the newest checkpoint in the folder on, and writes the model at the end."""
    say = print if group.rank == 0 else _silent
    if chosen.batch < group.count:
        raise ValueError(f"--batch must be at least the {group.count} processes")
    read, parts = data.read(chosen), _parts(chosen, say)
    config = DeepSeekConfig(vocab_size=read.tokenizer.get_vocab_size(), **chosen.sizes)
    torch.manual_seed(chosen.seed)
    model = parts["DeepSeek"](config).to(group.device)
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters on {_grid(group)}")
    keep_local_experts(model, group.experts.get_group(), parts)
    shard(model, group, arguments.DTYPES[chosen.dtype])
    optimizer, schedule = optimiser_and_schedule(model, chosen.lr, chosen.steps)
    begin = checkpoints.resume(chosen.folder, model, optimizer)
    schedule.load_state_dict({**schedule.state_dict(), "last_epoch": begin})
    if begin:
        say(f"goes on after step {begin}")
    telling = Telling(chosen, group, model, optimizer, read, say)
    steps = range(begin, chosen.steps)
    train(model, optimizer, schedule, read.batches, steps, chosen.bias, group, parts, telling.after)
    if group.rank == 0:
        write(chosen, config, read)
    say(f"the model is in {chosen.folder / 'model'}")


def write(chosen: Namespace, config: DeepSeekConfig, read: data.Data) -> None:
    """FOLDER/model holds the trained model, with its tokenizer, as transformers opens it."""
    model = DeepSeek(config)
    checkpoints.load_weights(chosen.folder, model)
    model.to_hf(chosen.folder / "model", tokenizer=read.tokenizer, end_of_text=END_OF_TEXT)


def _parts(chosen: Namespace, say: Callable[..., None]) -> dict[str, Any]:
    if chosen.parts == "reference":
        say("every part is the reference's")
        return reference_parts()
    parts, own = learners_parts()
    say(f"your own parts: {', '.join(own)}" if own else "every part is the reference's, none yours")
    return parts


def _grid(group: Processes) -> str:
    sizes = f"{group.copies.size()} x {group.experts.size()}"
    return f"{group.count} processes: {sizes}, copies by shares of the experts"


def _silent(*words: object, flush: bool = False) -> None:
    """What the other processes say."""


if __name__ == "__main__":
    sys.exit(main())
