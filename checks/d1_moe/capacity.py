"""The check of the investigation into capacity: the share of choices that find no room."""

import math

import torch
from torch import Tensor

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


def _hurt(experts: Tensor, num_experts: int, factor: float) -> int:
    """How many tokens lose a choice or more in a slow fill."""
    capacity = int(factor * experts.numel() / num_experts)
    taken, hurt = [0] * num_experts, 0
    for row in experts.tolist():
        hurt += any(taken[i] >= capacity for i in row)
        for i in row:
            taken[i] += 1
    return hurt


def _dropped_values(answer, case: Routing) -> None:
    """Of the slips, those are asked about that make the share of every factor."""
    experts = case.routing()[1] ** 2 // case.num_experts  # uneven, and repeats do not matter
    load = reference.expert_load(experts, case.num_experts).tolist()
    came = {}
    for factor in _FACTORS:
        with expect.untouched(lambda: {"experts": experts}):
            got = answer(experts, case.num_experts, factor)
        came[factor] = expect.number(got, "the dropped share")
    for factor, got in came.items():
        want = _fills(experts, case.num_experts, factor)
        if abs(got - want) <= _BOUND:
            continue
        name = f"the dropped share for capacity_factor={factor}"
        name += f" and load {load}" if case.num_experts < 10 else ""
        slips = {each: _slips(experts, load, each) for each in _FACTORS}
        asks = (_steady(came, slips) or slips)[factor]
        expect.number_close(got, want, name, asks, bound=_BOUND, otherwise=_ROWS_OF_ONE)


_Asked = dict[float, dict[str, float]]  # other shares by factor and question


def _steady(came: dict[float, float], slips: _Asked) -> _Asked:
    """The slips that make what came for every factor; empty where none does."""
    asks = [
        ask
        for ask in slips[_FACTORS[0]]
        if all(math.isclose(came[f], slips[f][ask], abs_tol=_BOUND) for f in _FACTORS)
    ]
    return {f: {ask: slips[f][ask] for ask in asks} for f in _FACTORS} if asks else {}


def _slips(experts: Tensor, load: list[int], factor: float) -> dict[str, float]:
    """Other shares of a load by the question that each calls for."""
    choices, num_experts, top_k = sum(load), len(load), experts.shape[1]
    even, hurt = factor * choices / num_experts, _hurt(experts, num_experts, factor)
    chosen = sum(rows > 0 for rows in load)
    numbered = max(i for i, rows in enumerate(load, start=1) if rows)

    def beyond(capacity: float) -> float:
        return sum(max(rows - capacity, 0) for rows in load) / choices

    return {
        "Is it a share of the T·K choices, and not of the T tokens?": beyond(int(even)) * top_k,
        "Is the capacity rounded down to whole rows?": beyond(even),
        "Is the even share T·K / num_experts rounded before it is multiplied by capacity_factor? "
        "Only the product is rounded.": beyond(int(factor * (choices // num_experts))),
        "Is the capacity rounded down, which may be 0, and neither up nor to at least 1?": beyond(
            math.ceil(even) if even < 1 else 0
        ),
        "Is capacity_factor rounded on its own? Only the product is.": beyond(
            int(factor) * choices // num_experts
        ),
        "Is the capacity rounded down, and not to the nearest whole number?": beyond(round(even)),
        "Is it a share of the choices, and not of the rows there is room for?": (
            beyond(int(even)) * choices / (num_experts * int(even)) if int(even) else -1.0
        ),
        "Is the capacity rounded down, and not up?": beyond(math.ceil(even)),
        "Is the even share that of the T·K choices, and not of the T tokens?": beyond(
            int(even / top_k)
        ),
        "Is the even share that of all num_experts, also of those that nobody chose?": beyond(
            int(factor * choices / chosen)
        ),
        "Is the even share that of all num_experts, also of the last ones, where nobody chose "
        "them? `bincount` without `minlength` ends before them.": beyond(
            int(factor * choices / numbered)
        ),
        "Does each expert take `capacity` rows, and not one more? Counted from 0, row number "
        "`capacity` finds no room.": beyond(int(even) + 1),
        "Does every expert that is too full drop rows, and not the busiest alone?": (
            max(max(load) - int(even), 0) / choices
        ),
        "Are choices counted, and not the tokens that lose one?": hurt / len(experts),
        "Are all choices counted that find no room, and not one for each token?": hurt / choices,
        "Does capacity_factor reach the capacity?": beyond(choices // num_experts),
        "Is it the dropped share, and not the kept one?": 1 - beyond(int(even)),
        "Are choices counted, and not the experts that are too full?": (
            sum(rows > int(even) for rows in load) / num_experts
        ),
        "Does an expert with room to spare drop fewer than none? Cut off at 0 for each expert.": (
            max(choices - num_experts * int(even), 0) / choices
        ),
    }


_ROWS_OF_ONE = "How many rows does one expert take at most, and is it a share of the T·K choices?"


def _dropped_none(answer, case: Routing) -> None:
    experts = case.routing()[1]
    share = answer(experts, case.num_experts, float(case.num_experts))
    got = expect.number(share, "the dropped share")
    load = reference.expert_load(experts, case.num_experts).tolist()
    slips = _slips(experts, load, float(case.num_experts)) if abs(got) > 1e-9 else {}
    name = "the dropped share for capacity_factor = num_experts"
    ask = "Does an expert that is not full drop any choice, or fewer than none?"
    expect.number_close(got, 0.0, name, slips, bound=1e-9, otherwise=ask)


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
