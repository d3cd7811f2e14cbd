"""D4's open task: how well a model of a given budget predicts after a short training."""

from collections.abc import Callable
from typing import cast

import torch

from checks.d4_deepseek.my_config import check_my_config
from checks.learner.measured import Measure
from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import held_out
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, train

STEPS = 200
SEED = 0


def config_measure(rows: StoryRows) -> Measure:
    """The measure of a configuration that is trained on `rows`, the lesson's stories."""

    def loss(answer: object) -> float:
        """The loss on held-out stories after a short training."""
        config: DeepSeekConfig = cast(Callable, answer)(rows.vocab_size)
        torch.manual_seed(SEED)
        model = DeepSeek(config)
        StoryRun(model, rows, STEPS, every=STEPS, seed=SEED).train(train, STEPS)
        return held_out(model, rows).loss

    return Measure(
        exercise="D4.O1",
        title="the best model of a budget",
        unit="nats per token",
        better="lower",
        take=loss,
        check=check_my_config,
    )
