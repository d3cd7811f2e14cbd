"""D4's story model and its dense rival, trained as in the lesson."""

from dataclasses import asdict, replace
from functools import cache
from typing import Any

import torch

from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import bigram_loss, held_out, sample_stories, story_scores
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, generate, train

SEEDS = (0, 1, 2)
HERE = ()  # nbval runs the lesson itself, with seed 0 and the same claims
STEPS = 800
SMALL = DeepSeekConfig(
    vocab_size=1024,
    num_layers=3,
    d_model=128,
    num_heads=4,
    d_head=32,
    d_latent=64,
    d_rope=16,
    num_experts=8,
    top_k=2,
    expert_dim=64,
    num_shared=1,
    theta=200.0,
)
DENSE = replace(SMALL, dense_layers=3, dense_dim=192)


def measure(seed: int) -> dict[str, Any]:
    """What `of_model` measures of the mixture and of the dense rival, and a bigram table's loss."""
    return {
        "bigram": bigram_loss(rows()),
        "mixture": of_model(SMALL, seed),
        "dense": of_model(DENSE, seed),
    }


def of_model(config: DeepSeekConfig, seed: int) -> dict[str, Any]:
    """The trained model's held-out loss and CV per layer, and the scores of 200 stories."""
    torch.manual_seed(seed)
    model = DeepSeek(config)
    StoryRun(model, rows(), STEPS, every=STEPS, seed=seed).train(train, STEPS)
    scores = story_scores(sample_stories(model, rows(), generate, 200), rows())
    found = held_out(model, rows())
    return {"held_out": found.loss, "told": found.told, "cvs": found.cvs} | asdict(scores)


@cache
def rows() -> StoryRows:
    return StoryRows.build()
