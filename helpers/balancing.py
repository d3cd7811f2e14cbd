"""Trains a model with experts while something balances their load, and keeps what happened.

Letters: S steps, N layers with experts, E = num_experts, T tokens, K = top_k.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.balance_losses import Affinities
from helpers.corpus import Corpus
from helpers.traffic import layers_of
from helpers.training import train_lm

Rebalance = Callable[[nn.Module, Tensor, float], Tensor]
AuxiliaryLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Balanced:
    """What training left: the loss, each layer's load and its bias after every step."""

    losses: list[float]
    loads: Int[Tensor, "S N E"]
    biases: Float[Tensor, "S N E"]


def annealed(step: float, steps: int, from_step: int) -> Callable[[int], float]:
    """`step` until `from_step`, then down in a line to exactly 0 at the last of `steps`."""
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

    After step i every layer is given to `rebalance(layer, real, step_at(i))`; `loss(affinity,
    experts)` of every layer is added to what is minimised.
    """
    affinities = Affinities(model)
    real = torch.ones(rows, length, dtype=torch.bool)
    loads, biases = [], []

    def after_step(i: int, model: nn.Module) -> None:
        layers = layers_of(model)
        for layer in layers if rebalance else []:
            rebalance(layer, real, step_at(i))
        loads.append(torch.stack([_load(layer) for layer in layers]))
        biases.append(torch.stack([layer.router.bias.clone() for layer in layers]))

    def extra_loss(model: nn.Module) -> Tensor:
        layers = zip(affinities.sigmoids(), layers_of(model), strict=True)
        return sum(loss(affinity, layer.last_experts) for affinity, layer in layers)

    try:
        losses = train_lm(
            model,
            corpus,
            steps,
            rows=rows,
            length=length,
            seed=seed,
            after_step=after_step,
            extra_loss=extra_loss if loss else None,
        )
    finally:
        affinities.remove()
    return Balanced(losses, torch.stack(loads), torch.stack(biases))


def _load(layer: nn.Module) -> Int[Tensor, " E"]:
    return torch.bincount(layer.last_experts.flatten(), minlength=len(layer.router.bias))
