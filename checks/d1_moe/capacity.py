"""The check of the investigation into capacity: the share of choices that find no room."""

import torch
from torch import Tensor

from checks.d1_moe.cases import Routing, routings
from checks.d1_moe.load import check_expert_load
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d1_moe as reference

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
    for factor in _FACTORS:
        load = reference.expert_load(experts, case.num_experts).tolist()
        name = f"the dropped share for capacity_factor={factor} and load {load}"
        want = _fills(experts, case.num_experts, factor)
        with expect.untouched(lambda: {"experts": experts}):
            got = expect.number(answer(experts, case.num_experts, factor), "the dropped share")
            expect.number_close(got, want, name, {_ROWS_OF_ONE: got}, bound=1e-6)


_ROWS_OF_ONE = "How many rows does one expert take at most, and is it a share of the T·K choices?"


def _dropped_none(answer, case: Routing) -> None:
    experts = case.routing()[1]
    share = answer(experts, case.num_experts, float(case.num_experts))
    got = expect.number(share, "the dropped share")
    expect.require(
        abs(got) < 1e-9,
        f"the dropped share for capacity_factor = num_experts must be 0, got {got:.4g}",
        "Does an expert that is not full drop any choice, or fewer than none?",
    )


check_dropped_share = Check(
    id="D1.I2",
    name="dropped_share",
    minutes=30,
    reference_answer=reference.dropped_share,
    draw=routings,
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
