"""A small training by `solutions.train`'s own loop, in whatever processes run it."""

from pathlib import Path

import torch

from helpers.data.story_batches import StoryBatches
from helpers.data.story_rows import StoryRows
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.loop import TrainingLoop
from solutions import d4_deepseek
from solutions.train import checkpoints
from solutions.train.local_experts import keep_local_experts
from solutions.train.parts import reference_parts
from solutions.train.processes import processes
from solutions.train.sharding import shard
from solutions.train.together import Together

STEPS, BIAS, LR, BATCH = 20, 0.01, 3e-3, 6  # a batch that four processes cannot share evenly


def rows() -> StoryRows:
    return StoryRows.build(300, 20)


def model(vocabulary: int) -> d4_deepseek.DeepSeek:
    torch.manual_seed(0)
    sizes = {"num_layers": 2, "d_model": 32, "num_heads": 2, "d_head": 16, "d_latent": 16}
    experts = {"d_rope": 8, "num_experts": 8, "top_k": 2, "expert_dim": 16, "num_shared": 1}
    return d4_deepseek.DeepSeek(DeepSeekConfig(vocab_size=vocabulary, **sizes, **experts))


def loop(made: d4_deepseek.DeepSeek, stories: StoryRows) -> TrainingLoop:
    return TrainingLoop(made, StoryBatches(stories.ids, stories.real, BATCH, 0), STEPS, LR, BIAS)


def by_the_lesson() -> tuple[list[float], list[float]]:
    """The losses of D4.3b's `train` in one process, and the first layer's bias at the end."""
    stories = rows()
    made = model(stories.vocab_size)
    alone = loop(made, stories)
    losses = [loss for _ in range(STEPS) for loss in alone.step(d4_deepseek.train)]
    return losses, made.blocks[0].ffn.router.bias.tolist()


def by_processes(
    expert_parallel: int, folder: Path, stop: int
) -> tuple[int, list[float], list[float]]:
    """The step it began at, its losses and bias; a checkpoint lies in `folder` after `stop`."""
    stories = rows()
    made = model(stories.vocab_size)
    losses: list[float] = []
    with processes(expert_parallel, torch.device("cpu")) as group:
        parts = reference_parts()
        keep_local_experts(made, group.experts.get_group(), parts)
        shard(made, group, torch.float32)
        training, together = loop(made, stories), Together(group, parts)
        training.go_on_after(checkpoints.resume(folder, made, training.optimizer))
        begin = training.done
        while training.done < STEPS:
            losses += training.step(together)
            if training.done == stop:
                checkpoints.save(folder, stop, made, training.optimizer)
        return begin, losses, made.blocks[0].ffn.router.bias.tolist()
