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
from tests.studies.in_bfloat16 import in_bfloat16

SEEDS = (0, 1, 2)
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
    """What `of_model` measures of the mixture and of the dense rival, a bigram table's loss, and
    the mixture in bfloat16."""
    mixture = trained(SMALL, seed)
    return {
        "bigram": bigram_loss(rows()),
        "mixture": of_model(mixture),
        "dense": of_model(trained(DENSE, seed)),
        "bfloat16": in_bfloat16(mixture, rows()),
    }


def trained(config: DeepSeekConfig, seed: int) -> DeepSeek:
    """A model trained as in the lesson."""
    torch.manual_seed(seed)
    model = DeepSeek(config)
    StoryRun(model, rows(), STEPS, every=STEPS, seed=seed).train(train, STEPS)
    return model


def of_model(model: DeepSeek) -> dict[str, Any]:
    """The trained model's held-out loss and CV per layer, and the scores of 200 stories."""
    scores = story_scores(sample_stories(model, rows(), generate, 200), rows())
    found = held_out(model, rows())
    return {"held_out": found.loss, "told": found.told, "cvs": found.cvs} | asdict(scores)


@cache
def rows() -> StoryRows:
    return StoryRows.build()
