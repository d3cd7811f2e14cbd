"""D4's story model and its dense rival in the same time: what each copies while it trains, and
what it costs. The rival at equal steps is `d4_seeds`' own.
"""

from dataclasses import replace
from typing import Any

import torch

from helpers.measuring.memory import activation_bytes
from helpers.measuring.step_costs import median_processor_milliseconds, resting_bytes
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.story_world.copying import guessed_copies, right_copies, word_tokens
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, count_parameters, generate, train
from tests.studies.d4_seeds import DENSE, SMALL, STEPS, of_model, rows

SEEDS = (0, 1, 2)
HERE = ()  # nbval trains the story model itself, with seed 0 and the same claims
LONGER = 1030  # steps of the dense model in the time that the mixture takes for 800
MOMENTS = 10  # looks at what is copied
LOOKED_AT = 100  # held-out stories, at each
BATCH = 16  # rows of which `kept` is measured
MODELS: dict[str, DeepSeekConfig] = {
    "mixture": SMALL,
    "dense, equal active": DENSE,
    "dense, equal total": replace(DENSE, dense_dim=579),
}


def measure(seed: int) -> dict[str, Any]:
    """What the mixture and the dense model of equal time copy and score, and each model's costs."""
    return {
        "costs": costs(seed),
        "guessed": guessed_copies(rows().held_ids, words()),
        "mixture": of_training(SMALL, STEPS, seed),
        "dense, equal time": of_training(DENSE, LONGER, seed),
    }


def of_training(config: DeepSeekConfig, steps: int, seed: int) -> dict[str, Any]:
    """One model trained as in the lesson, what was seen on the way, and its scores in the end."""
    run = started(config, steps, seed)
    moments = [{"step": 0, "copies": copies(run.model)}]
    while run.done < steps:
        run.train(train, run.every)
        last = run.points[-1]
        seen = {"step": last.step, "loss": last.loss, "coherent": last.coherent}
        moments.append(seen | {"copies": copies(run.model)})
    return {"steps": steps, "moments": moments} | of_model(run.model)


def started(config: DeepSeekConfig, steps: int, seed: int) -> StoryRun:
    """A run that has not begun, as `d4_seeds` begins it."""
    torch.manual_seed(seed)
    every = steps // MOMENTS
    return StoryRun(DeepSeek(config), rows(), steps, generate=generate, every=every, seed=seed)


def copies(model: DeepSeek) -> dict[str, float]:
    return right_copies(model, rows().held_ids[:LOOKED_AT], words())


def words() -> dict[str, torch.Tensor]:
    return word_tokens(rows().tokenizer.token_to_id)


def costs(seed: int) -> dict[str, Any]:
    """Parameters, bytes at rest and kept for the backward pass, and the processor's time per step.

    The models take their steps in turn, on one thread.
    """
    runs = {name: started(config, STEPS, seed) for name, config in MODELS.items()}
    calls = {name: lambda run=run: run.train(train, 1) for name, run in runs.items()}
    times = median_processor_milliseconds(calls)
    return {
        name: {
            "parameters": count_parameters(MODELS[name]),
            "kept": activation_bytes(run.model, rows().ids[:BATCH]),
            "resting": resting_bytes(run.model, run.optimizer),
            "step ms": times[name],
        }
        for name, run in runs.items()
    }
