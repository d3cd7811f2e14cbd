"""D4.3b's `train` on several processes: sums over all of them, never means of means.

Letters: B rows of the whole batch, L positions, E = num_experts.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch import distributed as dist

from helpers.measuring.traffic import layers_of
from helpers.training_loops.language_model import MAX_GRADIENT_NORM
from helpers.training_loops.loop import Batch
from solutions.train.processes import Processes
from solutions.train.sharding import clip


class Together:
    """Called as `train` is, with whole batches; each process computes its rows of them.

    The loss and its gradient are sums over all real tokens divided by their number, the gradient is
    clipped to norm 1 as a whole, and each bias moves by the load of all processes. `loads` holds
    that of each layer in the last step, `tokens` how many real ones it learned from.
    """

    def __init__(self, processes: Processes, parts: dict[str, Any]):
        self.processes, self.parts = processes, parts
        self.loads: list[Int[Tensor, " E"]] = []
        self.tokens = 0

    def __call__(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        bias_step: Callable[[], float],
    ) -> list[float]:
        """The loss of each batch, in nats per token; each takes a step."""
        return [self._step(model, batch, optimizer, bias_step()) for batch in batches]

    def _step(
        self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, bias_step: float
    ) -> float:
        loss, real = self._own_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        clip(model, MAX_GRADIENT_NORM)
        optimizer.step()
        rebalance_together = self.parts["rebalance_together"]
        self.loads = [
            rebalance_together(layer, real[:, :-1], bias_step, self.processes.group)
            for layer in layers_of(model)
        ]
        self.tokens = int(batch[1][:, 1:].sum())
        return _sum(loss)

    @torch.no_grad()
    def measured(self, model: nn.Module, batch: Batch) -> float:
        """The loss on a batch, in nats per token; nothing moves."""
        return _sum(self._own_loss(model, batch)[0])

    def _own_loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Bool[Tensor, "_ L"]]:
        """This process's part of the loss of the whole batch, and which of its tokens are real."""
        ids, real = (self._rows(part) for part in batch)
        logits = model(ids[:, :-1]).float()
        mean = self.parts["masked_loss"](logits, ids[:, 1:], real[:, 1:])
        return mean * (real[:, 1:].sum() / batch[1][:, 1:].sum()), real

    def _rows(self, part: Tensor) -> Tensor:
        """Every n-th row, so that no process has a row more than another by more than one."""
        return part[self.processes.rank :: self.processes.count].to(self.processes.device)


def _sum(loss: Tensor) -> float:
    """The sum of what all processes have of a loss."""
    whole = loss.detach().clone()
    dist.all_reduce(whole)
    return float(whole)
