"""The check of D2.2c: experts cut finer, at the same cost."""

import numbers
import random
from dataclasses import dataclass
from functools import partial

import torch

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class _Finer:
    """A layer's three numbers and into how many each expert is cut."""

    num_experts: int
    top_k: int
    expert_dim: int
    m: int

    def __str__(self) -> str:
        return (
            f"num_experts={self.num_experts}, top_k={self.top_k}, "
            f"expert_dim={self.expert_dim}, m={self.m}"
        )


def _finers(rng: random.Random) -> list[_Finer]:
    """Ten cases: the paper's example, any sizes (more tokens' width than experts, and fewer), one
    expert for a token, all of them, a single expert, m = 1, more parts than experts, and experts
    of width 1.
    """

    def case(
        m: int, width: int, num_experts: int | None = None, top_k: int | None = None
    ) -> _Finer:
        num_experts = num_experts or rng.randint(8, 20)
        return _Finer(num_experts, top_k or rng.randint(2, 7), m * width, m)

    everyone, few = rng.randint(3, 12), rng.randint(2, 4)

    return [
        _Finer(16, 2, 5632, 4),
        case(rng.randint(2, 5), rng.randint(6, 90)),
        case(rng.randint(6, 9), rng.randint(2, 5)),
        case(rng.randint(2, 5), rng.randint(6, 90), top_k=1),
        case(rng.randint(2, 5), rng.randint(6, 90), everyone, everyone),
        case(rng.randint(2, 5), rng.randint(6, 90), 1, 1),
        case(1, rng.randint(6, 90)),
        case(rng.randint(6, 9), rng.randint(2, 5), few, rng.randint(1, few)),
        case(rng.randint(2, 5), rng.randint(300, 900), rng.randint(100, 300), rng.randint(9, 30)),
        case(rng.randint(3, 9), 1),
    ]


_FINER = ("num_experts", "top_k", "expert_dim")


_ASKS = (
    "Each expert becomes m experts: how many are there then?",
    "With m times as many experts, how many must a token take to compute as much as before?",
    "Each new expert has 1/m of the width. Do parameters and FLOPs stay the same?",
)


def _wants(case: _Finer) -> tuple[int, int, int]:
    return case.num_experts * case.m, case.top_k * case.m, case.expert_dim // case.m


def _finer(answer, case: _Finer) -> list[int]:
    divides = f"m={case.m} divides expert_dim={case.expert_dim}"
    with expect.asking(f"{divides}, so the call is to be accepted: what is refused?", "divide"):
        got = answer(case.num_experts, case.top_k, case.expert_dim, case.m)
    expect.require(
        isinstance(got, tuple) and len(got) == 3,
        f"the call must return a tuple of three, ({', '.join(_FINER)}), got {expect.shown(got)}",
        _why_no_three(got),
    )
    for name, value, want, ask in zip(_FINER, got, _wants(case), _ASKS, strict=True):
        expect.require(
            isinstance(value, numbers.Integral) and not isinstance(value, bool),
            f"the new {name} must be a whole number, got {expect.shown(value)}",
            _why_no_int(value, want, ask),
        )
    return [int(value) for value in got]


def _why_no_three(got: object) -> str:
    if got is None:
        return "Did you forget a `return`?"
    if isinstance(got, list | torch.Tensor) and len(got) == 3:
        return "Are the three returned with commas alone, and no list or tensor around them?"
    return "Are three numbers returned, with commas?"


def _why_no_int(value: object, want: int, ask: str) -> str:
    if not isinstance(value, float):
        return "Is it a plain number, as the arguments are?"
    if value == want:
        return "`/` gives a float: which operator divides whole numbers?"
    return f"`/` gives a float: is this what is to be divided? {ask}"


def _finer_kind(answer, case: _Finer) -> None:
    _finer(answer, case)


def _finer_values(answer, case: _Finer) -> None:
    got, wants = _finer(answer, case), _wants(case)
    expect.require(
        sorted(got) != sorted(wants) or tuple(got) == wants,
        f"the new ({', '.join(_FINER)}) must be {wants}, got {tuple(got)}",
        "Are the three right, and in another order than they are asked for?",
    )
    asks = _ASKS[0], _why_cut_off(got[1], case) or _ASKS[1], _ASKS[2]
    for name, value, want, ask in zip(_FINER, got, wants, asks, strict=True):
        was = f"{getattr(case, name)} with m={case.m}"
        expect.require(
            value == want, f"the new {name} must be {want}, from {was}, got {value}", ask
        )


def _why_cut_off(top_k: int, case: _Finer) -> str:
    num_experts, want, _ = _wants(case)
    if top_k == case.num_experts < want:
        return "Is it cut off at the old number of experts? There are m times as many now."
    if top_k + 1 == want == num_experts:
        return "A token took every expert before: does it take every one still?"
    return ""


def _finer_refuses(answer, case: _Finer) -> None:
    for width in {case.m * (case.expert_dim // case.m) + 1, case.m - 1} - {0}:
        if width % case.m:
            call = partial(answer, case.num_experts, case.top_k, width, case.m)
            expect.refusal(call, f"m={case.m} does not divide expert_dim={width}")


check_fine_grained = Check(
    id="D2.2c",
    name="fine_grained",
    reference_answer=reference.fine_grained,
    draw=_finers,
    stages={
        "three whole numbers": _finer_kind,
        "m times the experts and the top-k, 1/m of the width": _finer_values,
        "an m that does not divide expert_dim is refused": _finer_refuses,
    },
    hints=(
        "Cut each of 16 experts in 4. How many are there, how wide is each, and how many must a "
        "token take so that as many weights work as before?",
        "Look at num_experts × expert_dim and top_k × expert_dim: both stay what they were.",
        "Return m times num_experts, m times top_k, and expert_dim divided by m with //.",
    ),
    compared=Comparison(
        inputs=lambda: (16, 2, 5632, 4),
        run=lambda function, inputs: torch.tensor([int(value) for value in function(*inputs)]),
    ),
)
