"""The check of the investigation into capacity: the share of choices that find no room."""

import math
from itertools import product

import torch
from torch import Tensor

from checks.d1_moe.capacity_slips import Fill, slips
from checks.d1_moe.cases import Routing
from checks.d1_moe.load import check_expert_load, choices
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d1_moe as reference

_BOUND = 1e-6
_FACTORS = (0.5, 1.0, 1.25, 2.0)  # exact in binary, so that rounding down is not in doubt


def _fills(experts: Tensor, num_experts: int, factor: float) -> float:
    """The specification: choices come one by one and a full expert turns them away."""
    capacity = int(factor * experts.numel() / num_experts)
    taken, dropped = [0] * num_experts, 0
    for i in experts.flatten().tolist():
        dropped += taken[i] >= capacity
        taken[i] += taken[i] < capacity
    return dropped / experts.numel()


def _dropped_values(answer, case: Routing) -> None:
    experts = case.routing()[1] ** 2 // case.num_experts  # uneven, and repeats do not matter
    _expect_shares(answer, experts, case.num_experts, _FACTORS, _BOUND)


def _dropped_none(answer, case: Routing) -> None:
    all_room = (float(case.num_experts),)
    _expect_shares(answer, case.routing()[1], case.num_experts, all_room, 1e-9)


def _expect_shares(
    answer, experts: Tensor, num_experts: int, factors: tuple[float, ...], bound: float
) -> None:
    came = {each: _share(answer, Fill(experts, num_experts, each)) for each in factors}
    for factor, got in came.items():
        want = _fills(experts, num_experts, factor)
        if abs(got - want) > bound:
            fill = Fill(experts, num_experts, factor)
            wanted, shown = expect.apart(want, got, 5)
            ask = expect.joined(_asks(answer, fill)) or _by_count(fill, got, want)
            expect.require(False, f"{_named(fill)} must be {wanted}, got {shown}", ask)


def _share(answer, fill: Fill) -> float:
    with expect.untouched(lambda: {"experts": fill.experts}):
        got = answer(fill.experts, fill.num_experts, fill.factor)
    return expect.number(got, "the dropped share")


def _named(fill: Fill) -> str:
    room_for_all = fill.factor == fill.num_experts
    factor = " = num_experts" if room_for_all else f"={fill.factor}"
    few = fill.num_experts < 10
    return f"the dropped share for capacity_factor{factor} and " + (
        f"load {fill.load}" if few else f"{fill.num_experts} experts"
    )


def _asks(answer, fill: Fill) -> list[str]:
    """What is asked about slips that make the share of every factor, also of more tokens."""
    experts, asks = fill.experts, list(slips(fill))
    more = [experts.repeat(7, 1)] if fill.choices < 200 else []
    for chosen, factor in product([experts, *more], [*_FACTORS, float(fill.num_experts)]):
        each = Fill(chosen, fill.num_experts, factor)
        got, made = _share(answer, each), slips(each)
        asks = [ask for ask in asks if math.isclose(got, made[ask], rel_tol=_BOUND, abs_tol=_BOUND)]
    return asks


def _by_count(fill: Fill, got: float, want: float) -> str:
    """What there is to count, for a share that no slip explains."""
    if got == 0:
        return (
            f"With 0 no expert is too full, and one has {max(fill.load)} rows where it takes "
            f"{fill.capacity}. Is your capacity {max(fill.load)} or more? Or is the share cut to a "
            "whole number, by `//` or `int`, or never returned?"
        )
    return (
        f"Here the capacity of each expert is {fill.capacity}, and {want * fill.choices:.0f} of "
        f"the {fill.choices} choices find no room: which step of yours gives another number?"
    )


check_dropped_share = Check(
    id="D1.I2",
    name="dropped_share",
    reference_answer=reference.dropped_share,
    draw=choices,
    stages={
        "nothing dropped where there is room for all": _dropped_none,
        "the share of a slow fill": _dropped_values,
    },
    hints=(
        "T·K = 40 choices, 4 experts, factor 1.25: how many rows does one expert take?",
        "Look at expert_load(experts, num_experts) less the capacity: who is above it?",
        "Take the load, subtract int(capacity_factor · T·K / num_experts), clamp at 0, sum, and "
        "divide by the number of choices.",
    ),
    needs=(check_expert_load,),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 64, (4096, 6)), 64, 1.25),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)
