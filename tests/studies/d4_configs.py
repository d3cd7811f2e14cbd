"""D4's open task over seeds: `small`, its dense rival and the reference's answer."""

from typing import Any

import torch

from helpers.measuring.story_measures import held_out
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.story_world.copying import right_copies, told_loss, word_tokens
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, train
from solutions.d4_open import my_config
from tests.studies.d4_seeds import DENSE, SMALL, rows

SEEDS = (0, 1, 2)
STEPS = 200
CONFIGS = {"small": SMALL, "dense": DENSE, "reference": my_config(SMALL.vocab_size)}


def measure(seed: int) -> dict[str, Any]:
    """What `short_training` measures of each configuration."""
    return {name: short_training(config, seed) for name, config in CONFIGS.items()}


def short_training(config: DeepSeekConfig, seed: int) -> dict[str, Any]:
    """Losses and right copies on held-out stories, of what the measure trains."""
    torch.manual_seed(seed)
    model = DeepSeek(config)
    StoryRun(model, rows(), STEPS, every=STEPS, seed=seed).train(train, STEPS)
    sorts, ids = word_tokens(rows().tokenizer.token_to_id), rows().held_ids
    return {
        "told": told_loss(model, ids, sorts),
        "held_out": held_out(model, rows()).loss,
        "copies": right_copies(model, ids, sorts),
    }
