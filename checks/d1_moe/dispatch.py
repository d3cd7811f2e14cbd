"""The checks of D1.3 and of the investigation into sorted dispatch."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import ROWS, CountingExperts, Routing, large, routings, slow_combination
from checks.d1_moe.dispatch_slips import (
    axis_squeezed,
    combination_slips,
    index_past_the_end,
    one_choice_slips,
    whose_row,
)
from checks.d1_moe.load import check_expert_load
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stage_run import Stage
from checks.grading.stages import Used, untouched
from solutions import d1_moe as reference


def _cases(rng: random.Random) -> list[Routing]:
    return [*routings(rng), *large(rng)]


OUTGROWN = (
    "Few choices of few experts come out right: which number do many outgrow, a type of few bits "
    "or a factor such as 1000?"
)


def _combined(answer, case: Routing, gates: Tensor, experts: Tensor, array: Built) -> Tensor:
    x = case.x()
    with index_past_the_end(), axis_squeezed(experts):
        y = answer(x, gates, experts, array)
    return expect.tensor(y, "y", x.shape, x.dtype, "Is y made like x?", ROWS)


def _dispatch_shape(answer, case: Routing) -> None:
    _combined(answer, case, *case.routing(), CountingExperts(case))


def _dispatch_one(answer, case: Routing) -> None:
    """One choice per token, with gate 1: y is that expert's output."""
    array, (_, experts) = CountingExperts(case), case.routing()
    experts = experts[:, :1].contiguous()
    gates = torch.ones(len(experts), 1, dtype=case.dtype)
    x, want = case.x(), slow_combination(case.x(), gates, experts, array).detach()
    got = _combined(answer, case, gates, experts, array).detach()
    slips = one_choice_slips(want, x, experts, array)
    by_row = experts.flatten().sort().values[:, None]
    if expect.near(got, slow_combination(x, gates, by_row, array).detach()):
        slips = {_ONE_SORT: lambda: got}
    elif not expect.near(got, want):
        slips[whose_row(got, want, x, experts, array)] = lambda: got
    expect.close(got, want, "y", when="with one choice and gate 1", slips=slips)


_ONE_SORT = (
    "Do rows meet experts that others chose? The counts cut runs of one sort over all T·K choices, "
    "experts.flatten(), and x is taken in its order, not token by token."
)


def _dispatch_values(answer, case: Routing) -> None:
    """As drawn; with gates of either sign; where nobody chooses the first, a middle, the last."""
    array, (gates, experts) = CountingExperts(case), case.routing()
    _expect_combination(answer, case, array, gates, experts)
    if case.is_large and case.num_experts < case.tokens:
        narrow = replace(case, dtype=torch.bfloat16)
        in_bfloat16(partial(_combined, answer, narrow), narrow, CountingExperts(narrow))
    if case.is_large:
        return
    _expect_combination(answer, case, array, gates - 0.6, experts)
    some_rest = case.top_k < case.num_experts
    unused = (0, case.num_experts // 2, case.num_experts - 1) if some_rest else ()
    for nobodys in unused:
        _expect_combination(answer, case, array, *case.routing(nobodys))


def _expect_combination(answer, case, array, gates: Tensor, experts: Tensor) -> None:
    x = case.x()
    want = _wanted(x, gates, experts, array)
    slips = combination_slips(x, gates.clone(), experts.clone(), array)
    got = _combined(answer, case, gates, experts, array)
    slips = {OUTGROWN: lambda: got} if case.is_large else slips
    expect.close(got, want, "y", slips=slips)


@torch.no_grad()
def _wanted(x: Tensor, gates: Tensor, experts: Tensor, array: Built) -> Tensor:
    """From the slow form; of more choices than it is quick for, from the reference."""
    form = slow_combination if experts.numel() < 200 else reference.dispatch_combine
    return form(x, gates, experts, array)


def in_bfloat16(combined: Callable[..., Tensor], case: Routing, array: Built) -> None:
    """Raise Wrong unless `combined(gates, experts, array)` is roughly what float64 makes of it."""
    gates, experts = case.routing()
    gates = torch.full_like(gates, 1 / case.top_k)  # so that every row counts
    got = combined(gates, experts, array).detach().double()
    want = _wanted(case.x().double(), gates.double(), experts, array.double())
    ask = "Are rows counted or numbered in the type of x? bfloat16 is exact up to 256 only."
    expect.close(got, want, "y", when="in bfloat16", slips={ask: lambda: got}, bound=0.05)


def _dispatch_use(answer, case: Routing) -> Used:
    x, (gates, experts), array = case.x(), case.routing(), CountingExperts(case)
    inputs = {"x": x, "gates": gates, "experts": experts}
    return lambda: answer(*inputs.values(), array), lambda: inputs


def _dispatch_gradients(answer, case: Routing) -> None:
    if case.dtype != torch.float64:
        return
    array, (gates, experts) = CountingExperts(case), case.routing(unused=0)
    x, gates = case.x().requires_grad_(), gates.requires_grad_()
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    inputs = {"x": x, "gates": gates}
    for i in experts.unique().tolist():
        inputs[f"the weight of expert {i}"] = array[i].weight
    expect.gradient(
        lambda: (answer(x, gates, experts, array) * direction).sum(), inputs, case.generator()
    )
    (answer(x, gates, experts, array) * direction).sum().backward()
    if case.top_k < case.num_experts:
        grad = array[0].weight.grad
        expect.require(
            grad is None or not grad.any(),
            "no gradient may reach expert 0, which no token chose, and one does",
            "Is it run on tokens of others and weighted with 0?",
        )


def _dispatch_rows(answer, case: Routing) -> None:
    array, (gates, experts) = CountingExperts(case), case.routing()
    answer(case.x(), gates, experts, array)
    rows, want = sum(expert.rows for expert in array.counting), experts.numel()
    everything = case.tokens * case.num_experts
    dense = ""
    if rows > want and rows in (everything, want * case.num_experts):
        dense = f", which is {'T·E' if rows == everything else 'T·K·E'}: all experts are computed "
        dense += "densely"
    expect.require(
        rows == want,
        f"experts must see T·K = {case.tokens}·{case.top_k} = {want} rows in all, got "
        f"{rows}{dense}",
        "Which rows does an expert need?",
    )


def _dispatch_calls(answer, case: Routing) -> None:
    array, (gates, experts) = CountingExperts(case), case.routing()
    answer(case.x(), gates, experts, array)
    calls = [expert.calls for expert in array.counting]
    most = max(calls)
    expect.require(
        most <= 1,
        f"each expert must be called once, on its one run of rows, and expert "
        f"{calls.index(most)} was called {most} times",
        "Are all its rows gathered before it is called?",
    )


def _of_few(stage: Stage) -> Stage:
    """The stage for the cases of usual size: more tokens or experts would only take longer."""
    return lambda answer, case: None if case.is_large else stage(answer, case)


_DISPATCH_STAGES = {
    "shape and type": _of_few(_dispatch_shape),
    "inputs untouched": _of_few(untouched(_dispatch_use)),
    "one choice with gate 1": _of_few(_dispatch_one),
    "weighted sums within 1e-5 of the token loop, idle experts too": _dispatch_values,
    "gradients reach x, gates and the experts chosen": _dispatch_gradients,
    "experts see T·K rows, no more": _of_few(_dispatch_rows),
}


class _Eight(CountingExperts):
    """Eight experts of width 64, for comparing."""

    def __init__(self):
        super().__init__(Routing(512, 64, 8, 2, 64, seed=0, dtype=torch.float32))


def _dispatch_inputs() -> tuple:
    case = Routing(512, 64, 8, 2, 64, seed=0, dtype=torch.float32)
    return case.x(), *case.routing(), _Eight()


_COMPARED_DISPATCH = Comparison(
    inputs=_dispatch_inputs, run=lambda function, inputs: function(*inputs)
)

check_dispatch = Check(
    id="D1.3",
    name="dispatch_combine",
    reference_answer=reference.dispatch_combine,
    draw=_cases,
    stages=_DISPATCH_STAGES,
    hints=(
        "For one expert i: which rows of experts hold i, and in which of the K slots?",
        "Look at token, slot = torch.where(experts == i): both (n,). What is gates[token, slot]?",
        "Start from zeros like x. For each expert: find its tokens (token, slot), run it on "
        "x[token], weight row by row by the gate, and add the rows to y at token by index_add.",
    ),
    compared=_COMPARED_DISPATCH,
)

check_sorted_dispatch = Check(
    id="D1.I1",
    name="sorted_dispatch",
    reference_answer=reference.sorted_dispatch,
    draw=_cases,
    stages={**_DISPATCH_STAGES, "one call per expert": _of_few(_dispatch_calls)},
    hints=(
        "After sorting the T·K choices by expert, where does expert 2's run of rows begin?",
        "Look at order = experts.flatten().argsort(): choice c belongs to token c // K.",
        "Sort the choices, gather x rows in that order, split them by expert_load, run each "
        "expert once, concatenate, multiply by the gates in the same order, index_add to tokens.",
    ),
    compared=_COMPARED_DISPATCH,
    needs=(check_expert_load,),
)
