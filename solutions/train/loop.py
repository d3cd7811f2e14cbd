"""One step of training on several processes: sums over all of them, never means of means.

Letters: B rows of the whole batch, L positions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from helpers.measuring.traffic import layers_of
from helpers.training_loops.story_run import ANNEALED
from solutions.train.processes import Processes
from solutions.train.sharding import clip

Batch = tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]


@runtime_checkable
class Batches(Protocol):
    """Batches by their step."""

    def batch(self, step: int) -> Batch: ...


@dataclass(frozen=True)
class Report:
    """What a step gave: loss in nats per token, real tokens, and the load of each layer."""

    step: int
    loss: float
    tokens: int
    loads: list[Int[Tensor, " E"]]


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    bias_step: float,
    processes: Processes,
    rebalance_together: Callable[..., Tensor],
) -> tuple[float, list[Tensor]]:
    """The step that D4.3b takes with the whole batch, of which each process computes its rows.

    The loss and its gradient are sums over all real tokens divided by their number, the gradient is
    clipped to norm 1 as a whole, and each bias moves by the load of all processes.
    """
    loss, real = _own_loss(model, batch, processes)
    optimizer.zero_grad()
    loss.backward()
    clip(model, 1.0)
    optimizer.step()
    loads = [
        rebalance_together(layer, real[:, :-1], bias_step, processes.group)
        for layer in layers_of(model)
    ]
    whole = loss.detach().clone()
    dist.all_reduce(whole)
    return float(whole), loads


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batches: Batches,
    steps: range,
    bias: float,
    processes: Processes,
    parts: dict[str, Any],
    after_step: Callable[[Report], None],
) -> None:
    """Trains for the given steps of a training of `steps.stop`, the balancing bias by `bias`.

    Its step falls to 0 over the last 30%, as in the lesson.
    """
    for step in steps:
        left = (steps.stop - 1 - step) / max(1.0, ANNEALED * steps.stop)
        batch = batches.batch(step)
        moves = bias * min(1.0, left), processes, parts["rebalance_together"]
        loss, loads = train_step(model, optimizer, batch, *moves)
        schedule.step()
        after_step(Report(step, loss, int(batch[1][:, 1:].sum()), loads))


@torch.no_grad()
def held_out_loss(model: nn.Module, batch: Batch, processes: Processes) -> float:
    """The loss on a batch that nothing was learned from, in nats per token; moves nothing."""
    loss = _own_loss(model, batch, processes)[0]
    dist.all_reduce(loss)
    return float(loss)


def _own_loss(model: nn.Module, batch: Batch, processes: Processes) -> tuple[Tensor, Tensor]:
    """This process's part of the loss of the whole batch, and which of its tokens are real."""
    ids, real = (_rows(part, processes) for part in batch)
    targets = ids[:, 1:].masked_fill(~real[:, 1:], -100)
    logits = model(ids[:, :-1]).flatten(0, 1).float()
    loss = F.cross_entropy(logits, targets.flatten(), reduction="sum")
    return loss / batch[1][:, 1:].sum(), real


def _rows(part: Tensor, processes: Processes) -> Tensor:
    """Every n-th row, so that no process has a row more than another by more than one."""
    return part[processes.rank :: processes.count].to(processes.device)
