"""Trains a model with experts while their load is balanced, and records loss, loads and biases.

Letters: S steps, N layers with experts, E = num_experts, T tokens, K = top_k.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.data.corpus import Corpus
from helpers.measuring.traffic import layers_of
from helpers.model.device import device_of
from helpers.training_loops.balance_losses import Affinities
from helpers.training_loops.language_model import train_lm

Rebalance = Callable[[Any, Tensor, float], Tensor]
AuxiliaryLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Balanced:
    """The record of a training: the loss, and each layer's load and bias, after every step."""

    losses: list[float]
    loads: Int[Tensor, "S N E"]
    biases: Float[Tensor, "S N E"]


def annealed(step: float, steps: int, from_step: int) -> Callable[[int], float]:
    """`step` until `from_step`, then falling linearly to exactly 0 at the last of `steps`."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    if not 0 <= from_step < steps - 1:
        raise ValueError(f"from_step must be between 0 and {steps - 2}, got {from_step}")
    return lambda i: step * min(1.0, (steps - 1 - i) / (steps - 1 - from_step))


def train_balanced(
    model: nn.Module,
    corpus: Corpus,
    steps: int,
    *,
    rebalance: Rebalance | None = None,
    step_at: Callable[[int], float] = lambda i: 0.0,
    loss: AuxiliaryLoss | None = None,
    seed: int = 0,
    rows: int = 16,
    length: int = 64,
) -> Balanced:
    """Trains `model` as `train_lm` does, on batches without padding.

    After step i, `rebalance(layer, real, step_at(i))` is called for every layer; the
    `loss(affinity, experts)` of every layer is added to what is minimised.
    """
    affinities = Affinities(model)
    real = torch.ones(rows, length, dtype=torch.bool, device=device_of(model))
    loads, biases = [], []

    def after_step(i: int, model: nn.Module) -> None:
        layers = layers_of(model)
        if rebalance is not None:
            for layer in layers:
                rebalance(layer, real, step_at(i))
        loads.append(torch.stack([_load(layer) for layer in layers]))
        biases.append(torch.stack([layer.router.bias.clone() for layer in layers]))

    def sum_of_losses(loss: AuxiliaryLoss, model: nn.Module) -> Tensor:
        layers = zip(affinities.sigmoids(), layers_of(model), strict=True)
        losses = (loss(affinity, layer.last_experts) for affinity, layer in layers)
        return sum(losses, torch.zeros((), device=device_of(model)))

    try:
        losses = train_lm(
            model,
            corpus,
            steps,
            rows=rows,
            length=length,
            seed=seed,
            after_step=after_step,
            extra_loss=partial(sum_of_losses, loss) if loss else None,
        )
    finally:
        affinities.remove()
    return Balanced(losses, torch.stack(loads), torch.stack(biases))


def _load(layer: Any) -> Int[Tensor, " E"]:
    return torch.bincount(layer.last_experts.flatten(), minlength=len(layer.router.bias))
