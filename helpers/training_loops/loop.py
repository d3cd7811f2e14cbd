"""The loop around D4.3b's `train`: a batch, its step of the bias, and the learning rate, in turn.

Letters: B rows of a batch, L tokens of the longest of them.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from helpers.model.device import device_of
from helpers.training_loops.optimiser import optimiser_and_schedule

ANNEALED = 0.3  # the share of a training over which the step of the bias falls to 0

Batch = tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]
BiasStep = Callable[[], float]
Train = Callable[[nn.Module, Iterable[Batch], torch.optim.Optimizer, BiasStep], list[float]]


@runtime_checkable
class Batches(Protocol):
    """Ids and which of them are real, by their step, which counts from 0."""

    def batch(self, step: int) -> Batch: ...


class TrainingLoop:
    """A training of `steps` steps, of which `done` are taken; it can stop after each and go on.

    AdamW with linear warm-up and linear decay to 0; the step of the balancing bias is `bias` and
    falls to 0 over the last 30% of the steps, as V3 freezes its own.
    """

    def __init__(
        self, model: nn.Module, batches: Batches, steps: int, lr: float = 3e-3, bias: float = 0.01
    ):
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.model, self.batches, self.steps, self.bias = model, batches, steps, bias
        self.optimizer, self.schedule = optimiser_and_schedule(model, lr, steps)
        self.done = 0

    def step(self, train: Train) -> list[float]:
        """Takes one step and returns what `train(model, batches, optimizer, bias_step)` does.

        `train` is D4.3b's, or does with one batch what that does.
        """
        where = device_of(self.model)
        ids, real = (part.to(where) for part in self.batches.batch(self.done))
        losses = train(self.model, [(ids, real)], self.optimizer, self.bias_step)
        self.schedule.step()
        self.done += 1
        return losses

    def bias_step(self) -> float:
        """How far a balancing bias moves after the current batch."""
        left = (self.steps - 1 - self.done) / max(1.0, ANNEALED * self.steps)
        return self.bias * min(1.0, left)

    def go_on_after(self, done: int) -> None:
        """The next step is step `done`; model and optimiser are those of a stop there."""
        self.schedule.load_state_dict({**self.schedule.state_dict(), "last_epoch": done})
        self.done = done
