"""The check of D4.I2: what a part is worth, seed by seed."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d4_deepseek as reference


@dataclass(frozen=True)
class _Seeds:
    """One case: losses of `count` seeds, far apart from seed to seed, and what the part saves."""

    count: int
    saves: float
    seed: int
    dtype: torch.dtype = torch.float64

    def __str__(self) -> str:
        with_part, without = (x.tolist() for x in self.losses())
        shown = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in zip(with_part, without, strict=True))
        return f"losses with the part and without it: {shown}"

    def losses(self, spread: float = 0.2) -> tuple[Tensor, Tensor]:
        """With the part and without it; what it saves varies by `spread` over the seeds."""
        generator = torch.Generator().manual_seed(self.seed)
        shared, more = torch.randn(2, self.count, generator=generator, dtype=torch.float64)
        more[0] += 1.5 if more[0] > more[1] else -1.5  # at least two seeds differ clearly
        with_part = 3 + shared
        without = with_part + self.saves + spread * more
        return with_part.to(self.dtype), without.to(self.dtype)


def _draws(rng: random.Random) -> list[_Seeds]:
    """Five cases: three seeds, two, many, a part that harms, float32."""

    def case(count: int, sign: int = 1, dtype: torch.dtype = torch.float64) -> _Seeds:
        return _Seeds(count, sign * rng.uniform(0.1, 0.5), rng.randrange(10**6), dtype)

    many, more = rng.sample(range(5, 11), 2)
    return [case(3), case(2), case(many, -1), case(more, dtype=torch.float32), case(4)]


def _worth(answer, with_part: Tensor, without: Tensor) -> tuple[float, float]:
    """Mean and error, once both are numbers."""
    names = "the mean difference", "its standard error"
    got = expect.pair(answer(with_part.clone(), without.clone()), names)
    mean, error = (expect.number(x, name) for x, name in zip(got, names, strict=True))
    return mean, error


def _numbers(answer, case: _Seeds) -> None:
    _worth(answer, *case.losses())


def _mean(answer, case: _Seeds) -> None:
    with_part, without = case.losses()
    mean, error = _worth(answer, with_part, without)
    saved = without.double() - with_part.double()
    want = float(saved.mean())
    slips = {
        (
            "Is the sign turned? It is above 0 where the loss is lower with the part."
            if want > 0
            else "Is the sign turned, or the mean made positive? A part that harms is worth less "
            "than 0."
        ): -want,
        "Is it the sum over the seeds?": float(saved.sum()),
        "Is it rounded? All digits are asked for.": round(want, 2),
        "Are the two losses taken off each other, and not added?": float(
            (without.double() + with_part.double()).mean()
        ),
        "Is it divided by its error? The difference itself is asked for.": float(
            saved.mean() / (saved.std() / case.count**0.5)
        ),
        "Is it a share of the mean loss? It is a difference, in nats.": float(
            saved.mean() / without.double().mean()
        ),
        "Is it a share of the mean loss with the part? It is a difference, in nats.": float(
            saved.mean() / with_part.double().mean()
        ),
        "Is it the median?": float(saved.median()),
        "Is it a share of the loss? It is a difference, in nats.": float(
            (saved / without.double()).mean()
        ),
        "Is every difference made positive? A seed in which the part harms counts against it.": (
            float(saved.abs().mean())
        ),
        "Is it the largest difference, and not their mean?": float(saved.max()),
        "Is it the difference of two medians, and not the mean of the differences?": float(
            without.double().median() - with_part.double().median()
        ),
        "Is it the difference of the best seeds?": float(without.min() - with_part.min()),
    }
    both = "Do mean and error come in this order, and are the differences left as they are?"
    ask = both if case.count == 2 else "Do mean and error come in this order?"
    asks = {ask: mean} if abs(error - want) < 1e-5 else {}
    expect.number_close(mean, want, "the mean difference", asks | slips)


def _steady(answer, case: _Seeds) -> None:
    """However far the seeds are apart, the part saves the same in each.

    In float32 the root of a variance that should be 0 may be further from it.
    """
    error = _worth(answer, *case.losses(spread=0.0))[1]
    expect.require(
        abs(error) < (1e-5 if case.dtype == torch.float64 else 1e-2),
        f"a part that saves the same in every seed has a standard error of 0, got {error:.4g}",
        "Is the spread that of the differences, seed by seed, and not of the losses?",
    )


def _error(answer, case: _Seeds) -> None:
    with_part, without = case.losses()
    error = _worth(answer, with_part, without)[1]
    saved, n = without.double() - with_part.double(), case.count
    std, population = float(saved.std()), float(saved.std(correction=0))
    slips = {
        "Is it divided by the root of how many seeds there are?": std,
        "Is it divided by their number? By its root.": std / n,
        "Is the spread that of a sample, divided by n - 1?": population / n**0.5,
        "Is that the spread of a population, and not divided by the root of their number?": (
            population
        ),
        "Is n - 1 counted twice? The sample deviation has it already.": std / max(n - 1, 1) ** 0.5,
        "Is that the variance? The root is taken before it is divided.": std**2 / n**0.5,
        "Is that the square of the error? A root is still to be taken.": std**2 / n,
        "Are differences taken seed by seed, and not of sorted losses?": (
            float((without.double().sort().values - with_part.double().sort().values).std())
            / n**0.5
        ),
        "Is it divided by the root of their number, and not multiplied?": std * n**0.5,
        "Is it divided by the root of their number once?": std / n**1.5,
        "Is it the standard deviation, and not half the range?": float(saved.max() - saved.min())
        / 2,
        "Is it twice the standard error?": 2 * std / n**0.5,
        "Is it half a confidence interval, 1.96 times the standard error? The error itself is "
        "asked for.": 1.96 * std / n**0.5,
        "Is the spread that of the differences, and not the difference of two spreads?": (
            float(without.double().std() - with_part.double().std()) / n**0.5
        ),
        "Is it the spread of the differences alone, and not that of the losses without the part?": (
            float(without.double().std()) / n**0.5
        ),
        "Is it the spread of the differences, and not of the losses with the part?": (
            float(with_part.double().std()) / n**0.5
        ),
        "Are the differences squared around their mean, and not around 0?": float(
            saved.square().mean().sqrt() / n**0.5
        ),
        "Is it the mean distance from the mean, where the standard deviation is asked for?": float(
            (saved - saved.mean()).abs().mean() / n**0.5
        ),
        **{
            f"Is it the root of the {n} seeds that divides, and not always of {m}?": std / m**0.5
            for m in range(2, 6)
            if m != n
        },
        "Is it a share of the mean?": std / n**0.5 / abs(float(saved.mean())),
    }
    name = f"the standard error of {n} differences"
    expect.number_close(error, std / n**0.5, name, slips)


def _use(answer, case: _Seeds) -> Used:
    inputs = dict(zip(("with_part", "without"), case.losses(), strict=True))
    return lambda: answer(*inputs.values()), lambda: inputs


check_worth = Check(
    id="D4.I2",
    name="worth",
    reference_answer=reference.worth,
    draw=_draws,
    stages={
        "two numbers": _numbers,
        "inputs untouched": untouched(_use),
        "the mean difference, above 0 where the part saves": _mean,
        "the same saving in each seed: an error of 0": _steady,
        "the standard error of the differences": _error,
    },
    hints=(
        "Seed 1 ends at 0.50 with the part and 0.53 without it, seed 2 at 0.60 and 0.65. Which "
        "two numbers say what the part saves?",
        "Look at without - with_part: one number per seed. Its spread is much smaller than that of "
        "the losses.",
        "Take the differences; return their mean, and their sample standard deviation (std) over "
        "the square root of how many they are.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.rand(9), 0.1 + torch.rand(9)),
        run=lambda function, inputs: torch.tensor([float(x) for x in function(*inputs)]),
    ),
)
