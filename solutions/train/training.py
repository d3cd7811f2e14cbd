"""A training from the newest checkpoint in its folder to the model that it writes there."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from helpers.data.corpus import END_OF_TEXT
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.loop import TrainingLoop
from solutions.d4_deepseek import DeepSeek
from solutions.train import arguments, checkpoints, data
from solutions.train.local_experts import keep_local_experts
from solutions.train.processes import Processes
from solutions.train.sharding import shard
from solutions.train.telling import Telling
from solutions.train.together import Together


def run(chosen: Namespace, group: Processes, parts: dict[str, Any], say: Callable) -> None:
    """Trains from the newest checkpoint in the folder on, and writes the model at the end."""
    read = data.read(chosen)
    config = DeepSeekConfig(vocab_size=read.tokenizer.get_vocab_size(), **chosen.sizes)
    torch.manual_seed(chosen.seed)
    model = parts["DeepSeek"](config).to(group.device)
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters on {_grid(group)}")
    keep_local_experts(model, group.experts.get_group(), parts)
    shard(model, group, arguments.DTYPES[chosen.dtype])
    loop = TrainingLoop(model, read.batches, chosen.steps, chosen.lr, chosen.bias)
    loop.go_on_after(checkpoints.resume(chosen.folder, model, loop.optimizer))
    if loop.done:
        say(f"goes on after step {loop.done}")
    together = Together(group, parts)
    telling = Telling(chosen, loop, together, read, say)
    while loop.done < loop.steps:
        (loss,) = loop.step(together)
        telling.after(loss)
    if group.rank == 0:
        _write(chosen, config, read)
    say(f"the model is in {chosen.folder / 'model'}")


def _write(chosen: Namespace, config: DeepSeekConfig, read: data.Data) -> None:
    """FOLDER/model holds the trained model, with its tokenizer, as transformers opens it."""
    model = DeepSeek(config)
    checkpoints.load_weights(chosen.folder, model)
    model.to_hf(chosen.folder / "model", tokenizer=read.tokenizer, end_of_text=END_OF_TEXT)


def _grid(group: Processes) -> str:
    sizes = f"{group.copies.size()} x {group.experts.size()}"
    return f"{group.count} processes: {sizes}, copies by shares of the experts"
