"""The check of D1's open task: whether a dispatch is right, however it works and however slow."""

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import ROWS, Routing, large, routings, slow_combination
from checks.d1_moe.dispatch import in_bfloat16
from checks.d1_moe.dispatch_slips import combination_slips, index_past_the_end
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.seeded import seeded
from checks.grading.stages import Used, state, untouched
from solutions import d1_moe, d1_open


def _cases(rng: random.Random) -> list[Routing]:
    return [*routings(rng), *large(rng)]


def array_of(case: Routing) -> d1_moe.ExpertArray:
    """SwiGLU experts of the case's sizes, always the same, whose weights an answer may read."""
    with seeded(case.seed):
        return d1_moe.ExpertArray(case.d_model, case.expert_dim, case.num_experts).to(case.dtype)


def _combined(answer: Callable, x: Tensor, gates: Tensor, experts: Tensor, array) -> Tensor:
    with index_past_the_end("Are weights of another array kept from an earlier call?"):
        y = answer(x, gates, experts, array)
    return expect.tensor(y, "y", x.shape, x.dtype, "Is y made like x?", ROWS)


def _shape(answer: Callable, case: Routing) -> None:
    _combined(answer, case.x(), *case.routing(), array_of(case))


def _use(answer: Callable, case: Routing) -> Used:
    array, (gates, experts) = array_of(case), case.routing()
    inputs = {"x": case.x(), "gates": gates, "experts": experts}
    return lambda: answer(*inputs.values(), array), lambda: inputs | state(array)


def _values(answer: Callable, case: Routing) -> None:
    """As drawn; with gates of either sign; where nobody chooses the first, a middle, the last."""
    array, (gates, experts) = array_of(case), case.routing()
    _expect_sums(answer, case, gates, experts, array)
    if case.is_large:
        narrow = replace(case, dtype=torch.bfloat16)
        in_bfloat16(partial(_combined, answer, narrow.x()), narrow, array_of(narrow))
        return
    _expect_sums(answer, case, gates - 0.6, experts, array)
    some_rest = case.top_k < case.num_experts
    for nobodys in (0, case.num_experts // 2, case.num_experts - 1) if some_rest else ():
        _expect_sums(answer, case, *case.routing(nobodys), array)


def _expect_sums(answer: Callable, case: Routing, gates: Tensor, experts: Tensor, array) -> None:
    x, form = case.x(), d1_moe.dispatch_combine if case.is_large else slow_combination
    with torch.no_grad():
        want = form(x, gates, experts, array)
    slips = {} if case.is_large else combination_slips(x, gates.clone(), experts.clone(), array)
    slips |= {} if case.is_large else _exchanged(x, gates.clone(), experts.clone(), array)
    expect.close(_combined(answer, x, gates, experts, array).detach(), want, "y", slips=slips)


def _exchanged(x: Tensor, gates: Tensor, experts: Tensor, array) -> dict[str, Callable]:
    """The sums of experts whose first two weights stand in each other's place."""
    other = copy.deepcopy(array)
    for expert in other:
        expert.gate, expert.up = expert.up, expert.gate
    ask = "Does silu go over gate(x), and not over up(x)?"
    return {ask: lambda: slow_combination(x, gates, experts, other).detach()}


def _other_weights(answer: Callable, case: Routing) -> None:
    """What an answer keeps of one call must not serve the next, whose weights are others."""
    array, x, (gates, experts) = array_of(case), case.x(), case.routing()
    answer(x, gates, experts, array)
    with torch.no_grad():
        for weight in array.parameters():
            weight.mul_(-0.5)
        want = d1_moe.dispatch_combine(x, gates, experts, array)
    got = _combined(answer, x, gates, experts, array).detach()
    ask = "Are weights kept from an earlier call? A step of training changes them in place."
    expect.close(got, want, "y", when="once the weights have changed", slips={ask: lambda: got})


def _gradients(answer: Callable, case: Routing) -> None:
    if case.dtype != torch.float64:
        return
    array, (gates, experts) = array_of(case), case.routing(unused=0)
    x, gates = case.x().requires_grad_(), gates.requires_grad_()
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    inputs = {"x": x, "gates": gates}
    for i in experts.unique().tolist():
        for name, weight in array[i].named_parameters():
            inputs[f"{name} of expert {i}"] = weight
    expect.gradient(
        lambda: (answer(x, gates, experts, array) * direction).sum(), inputs, case.generator()
    )


class _Sixty:
    """64 experts of width 32, for comparing."""

    CASE = Routing(1024, 64, 64, 2, 32, seed=0, dtype=torch.float32)

    @classmethod
    def inputs(cls) -> tuple:
        return cls.CASE.x(), *cls.CASE.routing(), array_of(cls.CASE)


check_fast_dispatch = Check(
    id="D1.O1",
    name="fast_dispatch",
    reference_answer=d1_open.fast_dispatch,
    draw=_cases,
    stages={
        "shape and type": _shape,
        "inputs and weights untouched": untouched(_use),
        "weighted sums within 1e-5 of the token loop, idle experts too": _values,
        "the weights of this call, not of an earlier one": _other_weights,
        "gradients reach x, gates and the weights of experts chosen": _gradients,
    },
    hints=(
        "64 experts of 32 rows each: how many products does your way make, and how many rows "
        "has each of them?",
        "Look at torch.stack of all gate.weight, (E, F, D): what does (E, C, D) @ (E, D, F) make?",
        "Sort the choices by expert and give every expert a table of as many rows as the busiest "
        "has, the rest zeros. Three products of whole tables follow; take the real rows out again.",
    ),
    compared=Comparison(inputs=_Sixty.inputs, run=lambda function, inputs: function(*inputs)),
)
