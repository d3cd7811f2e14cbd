"""The check of D1's open task: whether a dispatch is right, however it works and however slow."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import ROWS, Routing, large, routings, slow_combination
from checks.d1_moe.dispatch import OUTGROWN, in_bfloat16
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
    kept = "Are weights of another array kept from an earlier call?"
    with index_past_the_end(kept, len(array)), _too_few_tables(experts, len(array)):
        y = answer(x, gates, experts, array)
    return expect.tensor(y, "y", x.shape, x.dtype, "Is y made like x?", ROWS)


def _too_few_tables(experts: Tensor, num_experts: int) -> AbstractContextManager[None]:
    """Asks about an error that names the number of experts, and that up to the last one chosen."""
    numbered = int(experts.max()) + 1
    ask = (
        f"Here nobody chose expert {num_experts - 1}: has each of the {num_experts} experts its "
        "place, also an idle one? `bincount` without `minlength` ends before an idle last one."
    )
    both = rf"\b{numbered}\b.*\b{num_experts}\b|\b{num_experts}\b.*\b{numbered}\b"
    return expect.asking(ask, rf"^\w+Error: .*({both})" if numbered < num_experts else "$^")


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
    kept = gates.clone(), experts.clone()
    got = _combined(answer, x, gates, experts, array).detach()
    slips = {OUTGROWN: lambda: got} if case.is_large else _slips(x, *kept, array)
    slips |= {_COARSE: lambda: got} if _is_nearly(got, want) else {}
    expect.close(got, want, "y", slips=slips)


_COARSE = (
    "All of y is nearly right: is something computed in a narrower type than x's (`.bfloat16()`, "
    "`.half()`, `.float()`) and turned back, or a small constant added?"
)


def _is_nearly(got: Tensor, want: Tensor) -> bool:
    """Whether every token is off, and no token by more than a few percent of its length."""
    off, length = (got - want).norm(dim=-1), want.norm(dim=-1)
    return bool((off > 0).all() and (off < 0.05 * length).all())


class _Otherwise:
    """The array's experts, put together from their parts in another way."""

    def __init__(self, array, way: Callable[[Tensor, Tensor], Tensor]):
        self.array, self.way = array, way

    def __getitem__(self, i: int) -> Callable[[Tensor], Tensor]:
        expert = self.array[i]
        return lambda x: expert.down(self.way(expert.gate(x), expert.up(x)))


_WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Does silu go over gate(x), and not over up(x)?": lambda gate, up: gate * F.silu(up),
    "Does silu go over gate(x) alone, before up(x) is multiplied in?": lambda gate, up: F.silu(
        gate * up
    ),
    "Are silu(gate(x)) and up(x) multiplied before `down`, and not divided?": lambda gate, up: (
        F.silu(gate) / up
    ),
    "Are silu(gate(x)) and up(x) multiplied before `down`, and not added?": lambda gate, up: (
        F.silu(gate) + up
    ),
    "Does silu go over gate(x)?": lambda gate, up: gate * up,
    "Is up(x) multiplied in?": lambda gate, up: F.silu(gate),
    "Is it silu, and not the sigmoid alone?": lambda gate, up: gate.sigmoid() * up,
    "Is it silu, and not relu?": lambda gate, up: F.relu(gate) * up,
}


def _slips(x: Tensor, gates: Tensor, experts: Tensor, array) -> dict[str, Callable[[], Tensor]]:
    """Those of every dispatch, and of experts that are put together in another way."""
    others = {ask: _Otherwise(array, way) for ask, way in _WAYS.items()}
    return combination_slips(x, gates, experts, array) | {
        ask: partial(slow_combination, x, gates, experts, other) for ask, other in others.items()
    }


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
