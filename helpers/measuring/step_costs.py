"""What a training step costs: the memory that stays between steps, and the processor's time."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def resting_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """The bytes of weights, of their gradients, and of what the optimiser keeps for each.

    Measured on the tensors that are there: take a step before, or the last two are 0.
    """
    weights = list(model.parameters())
    states = [
        tensor
        for kept in optimizer.state.values()
        for tensor in kept.values()
        if isinstance(tensor, Tensor)
    ]
    return {
        "weights": sum(weight.nbytes for weight in weights),
        "gradients": sum(weight.grad.nbytes for weight in weights if weight.grad is not None),
        "optimiser": sum(tensor.nbytes for tensor in states),
    }


def median_processor_milliseconds(
    calls: Mapping[str, Callable[[], object]], turns: int = 11
) -> dict[str, float]:
    """The median time that a processor worked on each call, in milliseconds, calls taken in turn.

    Unlike the time on the wall it does not grow while other programs run beside. With several
    threads it is the sum over all of them; the first turn warms up and does not count.
    """
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}
