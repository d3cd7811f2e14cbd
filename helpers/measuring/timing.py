"""Times of several calls, measured in turn, so that a slow moment of the machine hits all alike.

`torch.utils.benchmark.Timer` measures one call after another, with warm-up runs of its own.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def median_milliseconds(
    calls: Mapping[str, Callable[[], object]], turns: int = 7
) -> dict[str, float]:
    """The median wall-clock time of each call, in milliseconds.

    The calls run in turn, `turns` + 1 times each; the first turn warms them up and does not count.
    What a call starts on an accelerator is waited for.
    """
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns + 1):
        for name, call in calls.items():
            times[name].append(milliseconds(call))
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def milliseconds(call: Callable[[], object]) -> float:
    """The wall-clock time of one call, an accelerator's work included."""
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return 1000 * (time.perf_counter() - start)


def _wait() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
