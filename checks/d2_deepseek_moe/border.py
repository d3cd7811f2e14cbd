"""The check of D2.I2: how many experts until chance alone breaks the limit."""

import random
from dataclasses import dataclass

import torch

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class Border:
    """Options whose border lies well between two whole numbers, or on one without rounding."""

    top_k: int
    tokens: int
    limit: float

    def __str__(self) -> str:
        return f"top_k={self.top_k}, tokens={self.tokens}, limit={self.limit}"

    def exact(self) -> float:
        """Where the expected CV is the limit, between two whole numbers of experts."""
        return self.top_k + self.limit**2 * self.top_k * self.tokens

    def expected_cv(self, num_experts: int) -> float:
        return ((1 - self.top_k / num_experts) / (self.top_k * self.tokens / num_experts)) ** 0.5


def _borders(rng: random.Random) -> list[Border]:
    """Eight: more experts than V3 has, where rounding up or early would show, more than a fixed
    range would hold, a handful, any four, and a limit that is met exactly.
    """

    def drawn(top_ks: range, tokens: range, limits: list[float], above: float = 0.2) -> Border:
        while True:
            border = Border(rng.choice(top_ks), rng.choice(tokens), rng.choice(limits))
            exact, early = border.exact(), border.limit**2 * border.tokens % 1
            if above < exact % 1 < 0.8 and (above == 0.2 or border.top_k * early > 1.1):
                return border

    return [
        drawn(range(4, 9), range(3000, 5001), [0.2], above=0.55),
        drawn(range(7, 9), range(20_000, 30_001), [0.4]),
        drawn(range(1, 3), range(50, 200), [0.05, 0.1]),
        *(drawn(range(1, 9), range(50, 5001), [0.05, 0.1, 0.2]) for _ in range(4)),
        Border(rng.choice([1, 2, 4]), 4 ** rng.randint(2, 4), 0.5),  # all exact in binary
    ]


def _border_kind(answer, case: Border) -> None:
    got = answer(case.top_k, case.tokens, case.limit)
    number = expect.number(got, "the number of experts")
    expect.require(
        not isinstance(got, float) or number != int(number),
        f"the number of experts must be an int, got the float {got}",
        "Is it made an int?",
    )
    expect.require(
        number == int(number),
        f"the number of experts must be a whole number, got {expect.shown(got)}",
        "Is it rounded down to an int?",
    )


def _border_slips(case: Border, want: int) -> dict[str, int]:
    """The wrong number of each slip, by the question that it calls for."""
    k, t, squared = case.top_k, case.tokens, case.limit**2
    by = squared * k * t
    return {
        "Is (E - K) / (K · T) compared with the square of the limit?": int(k + case.limit * k * t),
        "Is the limit squared, and not cubed?": int(k + case.limit**3 * k * t),
        "Is the limit squared, and no root taken of it?": int(k + case.limit**0.5 * k * t),
        "Was K added back?": int(by),
        "Is K added back, and not taken off? E - K stands on the left.": int(by - k),
        "Is K added back, and not 1?": int(by + 1),
        "Is K added once?": int(by + 2 * k),
        "Is limit² multiplied by K too?": int(k + squared * t),
        "Does T come in, as a factor of limit²?": int(k + squared * k),
        "Is T a factor of limit², and not a divisor?": int(k + squared * k / t),
        "Is the divisor K · T, and not E · T?": (
            int(k / (1 - squared * t)) if squared * t < 1 else k
        ),
        "Is K one factor, and not squared?": int(k + squared * k * k * t),
        "Is limit² multiplied by K, and not divided by it?": int(k + squared * t / k),
        "Is it T tokens, and not T + 1?": int(k + squared * k * (t + 1)),
        "Is it T tokens, and not T - 1?": int(k + squared * k * (t - 1)),
        "Is limit² · T rounded before it is multiplied? Only the whole is.": k * int(squared * t)
        + k,
        "Is it rounded down?": want + 1,
        "Is the last number within the limit returned, and not the first beyond it?": want + 1,
        "Is a CV of exactly the limit still allowed?": want - 1,
        "Does a search go back one step too many at its end?": want - 1,
        "Is every whole number of experts allowed, and not powers of two alone?": (
            1 << want.bit_length() - 1
        ),
    }


def _other_options(case: Border, got: int) -> list[str]:
    """The questions of an answer that is right for another top_k, or for another limit."""
    k, t, limit = case.top_k, case.tokens, case.limit
    top_ks = [n for n in range(1, 17) if int(n + limit**2 * n * t) == got]
    limits = [
        n for n in (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0) if int(k + n**2 * k * t) == got
    ]
    return [
        *(f"It is right for K = {n}: is it the top_k that is handed over?" for n in top_ks),
        *(f"It is right for a limit of {n}: is it the one that is handed over?" for n in limits),
    ]


def _default_ask(got: int, want: int) -> str:
    solved = "Is CV² = (E - K) / (K · T) solved for E?"
    return f"{solved} Or does a search end before it gets there?" if got < want else solved


def _border_value(answer, case: Border) -> None:
    got = int(answer(case.top_k, case.tokens, case.limit))
    want = case.top_k
    while case.expected_cv(want + 1) <= case.limit:
        want += 1
    expect.require(
        got == want,
        f"with {case}, {want} experts have an expected CV of {case.expected_cv(want):.6f} and "
        f"{want + 1} of {case.expected_cv(want + 1):.6f}: the answer must be {want}, got {got}",
        expect.joined([ask for ask, slip in _border_slips(case, want).items() if slip == got])
        or expect.joined(_other_options(case, got))
        or _default_ask(got, want),
    )


check_most_experts = Check(
    id="D2.I2",
    name="most_experts",
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
