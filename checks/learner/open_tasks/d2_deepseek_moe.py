"""D2's open task: how even a rule makes the load of a small model, at no price in loss."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from checks.d2_deepseek_moe.balancing.steer import BATCHES, check_steer
from checks.learner.measured import Measure, NotMeasured
from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.measuring.traffic import chosen_experts
from helpers.model.llama import Decoder
from helpers.training_loops.balanced_training import BalancedTraining
from helpers.training_loops.language_model import held_out_loss
from solutions.d1_moe import expert_load, load_cv
from solutions.d2_deepseek_moe import DeepSeekMoE

SEEDS = (0, 1)
EXPERTS = 16
ALLOWED = 0.02  # nats per token that the loss may lie above that of nobody steering
ROWS = 208  # held-out rows of 64 tokens, 13 batches of 1,024

Steer = Callable[[Tensor, Tensor, int], Tensor]


def unsteered(bias: Tensor, load: Tensor, batch: int) -> Tensor:
    """The bias as it was: nobody steers."""
    return bias


@cache
def _stories() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))


def trained(steer: Steer, seed: int) -> tuple[float, float]:
    """The loss on held-out stories, and the CV of their load, a mean over layers."""
    torch.manual_seed(seed)
    size = _stories().vocab_size
    model = Decoder(size, 64, 2, 4, lambda: DeepSeekMoE(64, EXPERTS, 2, 32, num_shared=1))

    def rebalance(layer: Any, real: Tensor, batch: float) -> Tensor:
        load = expert_load(layer.last_experts, EXPERTS)
        layer.router.bias.copy_(steer(layer.router.bias.clone(), load, int(batch)))
        return load

    training = BalancedTraining(
        model, _stories(), BATCHES, rebalance=rebalance, step_at=float, seed=seed
    )
    training.run()
    ids = _stories().held_out(ROWS, length=64)[0][:, :-1]
    cvs = [load_cv(expert_load(experts, EXPERTS)) for experts in chosen_experts(model, ids)]
    return held_out_loss(model, _stories(), ROWS), sum(cvs) / len(cvs)


@cache
def _unsteered_losses() -> tuple[float, ...]:
    return tuple(trained(unsteered, seed)[0] for seed in SEEDS)


def _cv(answer: object) -> float:
    """The mean CV over layers and seeds, where the loss has not risen."""
    found = [trained(cast(Steer, answer), seed) for seed in SEEDS]
    losses = zip(found, _unsteered_losses(), strict=True)
    risen = sum(loss - before for (loss, _), before in losses) / len(SEEDS)
    if risen > ALLOWED:
        raise NotMeasured(
            f"its loss is {risen:.3f} above that of nobody steering, and {ALLOWED} is allowed"
        )
    return sum(cv for _, cv in found) / len(SEEDS)


measure_steering = Measure(
    exercise="D2.O1",
    title="the most even load",
    unit="CV",
    better="lower",
    take=_cv,
    check=check_steer,
)
