"""D1's open task: how fast a dispatch is beside the expert loop of D1.3."""

from collections.abc import Callable
from typing import cast

import torch

from checks.d1_moe.cases import Routing
from checks.d1_moe.fast_dispatch import array_of, check_fast_dispatch
from checks.grading import expect
from checks.learner.measured import Measure, NotMeasured, time_ratio
from solutions.d1_moe import dispatch_combine

SIZES = Routing(1024, 64, 64, 2, 32, seed=0, dtype=torch.float32)


@torch.no_grad()
def _ratio(answer: object) -> float:
    """The answer's time over the expert loop's, both called in turn on the same rows."""
    dispatch = cast(Callable, answer)
    inputs = SIZES.x(), *SIZES.routing(), array_of(SIZES)
    if not expect.near(dispatch(*inputs), dispatch_combine(*inputs)):
        raise NotMeasured("on 1,024 tokens and 64 experts it returns other numbers")
    return time_ratio(lambda: dispatch(*inputs), lambda: dispatch_combine(*inputs), turns=25)


measure_dispatch = Measure(
    exercise="D1.O1",
    title="the fastest dispatch",
    unit="of the expert loop's time",
    better="lower",
    take=_ratio,
    check=check_fast_dispatch,
)
