"""The checks of D2's two investigations: the control loop, and where chance ends it."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from checks.d1_moe.load import check_expert_load
from checks.d2_deepseek_moe.bias import check_update_bias
from checks.d2_deepseek_moe.rebalance import moved
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d2_deepseek_moe as reference

# D2.I1 control_bias ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """Fixed affinities of some batches, and the controller's options."""

    batches: int
    tokens: int
    num_experts: int
    top_k: int
    step: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.batches} batches of {self.tokens} tokens, num_experts={self.num_experts}, "
            f"top_k={self.top_k}, step={self.step}"
        )

    def affinity(self) -> Tensor:
        """`(S, T, E)`, skewed, so that the first steps have somewhere to go."""
        generator = torch.Generator().manual_seed(self.seed)
        logits = torch.randn(self.batches, self.tokens, self.num_experts, generator=generator)
        return (logits + torch.linspace(-1, 1, self.num_experts)).sigmoid()


def _controls(rng: random.Random) -> list[Control]:
    def case(batches: int | None = None, top_k: int | None = None) -> Control:
        num_experts = rng.randint(5, 8)
        return Control(
            batches or rng.randint(6, 12),
            rng.randint(15, 30),
            num_experts,
            top_k or rng.randint(2, 3),
            rng.choice([0.05, 0.1, 0.2]),
            rng.randrange(10**6),
        )

    return [case(), case(), case(), case(batches=1), case(top_k=1)]


def _control_path(case: Control, *, leak: bool = False) -> Tensor:
    """The slow loop; with `leak` each batch is routed by the bias that its own load made."""
    bias, path = [0.0] * case.num_experts, []
    for scores in case.affinity():
        ahead = moved(bias, _chosen_load(scores, bias, case), case.step)
        bias = moved(bias, _chosen_load(scores, ahead, case), case.step) if leak else ahead
        path.append(bias)
    return torch.tensor(path)


def _chosen_load(scores: Tensor, bias: list[float], case: Control) -> list[int]:
    load = [0] * case.num_experts
    for row in (scores + torch.tensor(bias)).tolist():
        for i in sorted(range(case.num_experts), key=lambda i: -row[i])[: case.top_k]:
            load[i] += 1
    return load


def _control_shape(answer, case: Control) -> None:
    got = answer(case.affinity(), case.top_k, case.step)
    expect.tensor(got, "the path", (case.batches, case.num_experts), torch.float32)


def _control_first(answer, case: Control) -> None:
    got = answer(case.affinity(), case.top_k, case.step)[:1].detach()
    want = _control_path(case)[:1]
    slips = {"Is the bias kept before it is moved?": lambda: torch.zeros_like(want)}
    expect.close(got, want, "the bias after the first batch", axes=("batch",), slips=slips)


def _control_values(answer, case: Control) -> None:
    got = answer(case.affinity(), case.top_k, case.step).detach()
    want = _control_path(case)
    slips = {
        "Is every row the same tensor, changed in place later?": lambda: want[-1:].expand_as(want),
        "Does a batch's own load steer it?": lambda: _control_path(case, leak=True),
    }
    expect.close(got, want, "the bias after each batch", axes=("batch",), slips=slips)


def _control_use(answer, case: Control) -> Used:
    affinity = case.affinity()
    return lambda: answer(affinity, case.top_k, case.step), lambda: {"affinity": affinity}


check_control_bias = Check(
    id="D2.I1",
    name="control_bias",
    minutes=20,
    reference_answer=reference.control_bias,
    draw=_controls,
    stages={
        "shape and type": _control_shape,
        "the first batch": _control_first,
        "every batch, by the slow loop": _control_values,
        "inputs untouched": untouched(_control_use),
    },
    hints=(
        "Which bias does batch 0 see, and which one stands in row 0 of the result?",
        "Look at (scores + bias).topk(top_k, dim=-1).indices: (T, K), for one batch.",
        "Start from zeros (E,). For each batch choose with the bias so far, count with "
        "expert_load, take update_bias, append the new bias; stack at the end.",
    ),
    compared=Comparison(
        inputs=lambda: (Control(50, 256, 16, 2, 0.01, seed=0).affinity(), 2, 0.01),
        run=lambda function, inputs: function(*inputs),
    ),
    needs=(check_update_bias, check_expert_load),
)

# D2.I2 most_experts ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Border:
    """Options whose border lies well between two whole numbers."""

    top_k: int
    tokens: int
    limit: float

    def __str__(self) -> str:
        return f"top_k={self.top_k}, tokens={self.tokens}, limit={self.limit}"

    def expected_cv(self, num_experts: int) -> float:
        return ((1 - self.top_k / num_experts) / (self.top_k * self.tokens / num_experts)) ** 0.5


def _borders(rng: random.Random) -> list[Border]:
    found: list[Border] = []
    while len(found) < 6:
        border = Border(rng.randint(1, 8), rng.randint(50, 5000), rng.choice([0.05, 0.1, 0.2]))
        exact = border.top_k + border.limit**2 * border.top_k * border.tokens
        if 0.2 < exact % 1 < 0.8:
            found.append(border)
    return found


def _border_kind(answer, case: Border) -> None:
    got = answer(case.top_k, case.tokens, case.limit)
    number = expect.number(got, "the number of experts")
    expect.require(
        number == int(number) and not isinstance(got, float),
        f"the number of experts must be a whole number, got {expect.shown(got)}",
        "Is it rounded down to an int?",
    )


def _border_slips(case: Border, want: int) -> dict[int, str]:
    """The question that each wrong number calls for."""
    unsquared = int(case.top_k + case.limit * case.top_k * case.tokens)
    return {
        unsquared: "Is (E - K) / (K · T) compared with the square of the limit?",
        want + 1: "Is it rounded down?",
        want - case.top_k: "Was K added back?",
    }


def _border_value(answer, case: Border) -> None:
    got = int(answer(case.top_k, case.tokens, case.limit))
    want = case.top_k
    while case.expected_cv(want + 1) <= case.limit:
        want += 1
    expect.require(
        got == want,
        f"with {case}, {want} experts have an expected CV of {case.expected_cv(want):.4f} and "
        f"{want + 1} of {case.expected_cv(want + 1):.4f}: the answer must be {want}, got {got}",
        _border_slips(case, want).get(got, "Is CV² = (E - K) / (K · T) solved for E?"),
    )


check_most_experts = Check(
    id="D2.I2",
    name="most_experts",
    minutes=20,
    reference_answer=reference.most_experts,
    draw=_borders,
    stages={"a whole number": _border_kind, "the border that a search finds": _border_value},
    hints=(
        "At E = K every expert takes every token. What is the CV there?",
        "Look at CV² = (E - K) / (K · T) and set it equal to limit².",
        "E is top_k + limit² · top_k · tokens, rounded down.",
    ),
    compared=Comparison(
        inputs=lambda: (2, 1024, 0.1),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)
