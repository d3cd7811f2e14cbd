"""The checks of D1.4b and D1.4c: one number that says how uneven a load is."""

import math
import numbers
import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stage_run import Stage
from solutions import d1_moe as reference


class _Load:
    """A drawn load; its text names the numbers."""

    def __init__(self, *load: int):
        self.load = torch.tensor(load)

    def __str__(self) -> str:
        return f"load = {self.load.tolist()}"


def _loads(rng: random.Random) -> list[_Load]:
    """Nine of different sizes: any, with an idle expert, all on one expert, large, fewer choices
    than experts, even, large and nearly even, one expert alone, and none.
    """
    any_size, some_idle, one_busy, large, few, even, nearly, none = rng.sample(range(5, 13), 8)

    def drawn(low: int, high: int, size: int) -> list[int]:
        return [rng.randint(low, high) for _ in range(size)]

    def among_idle(*loads: int, size: int) -> list[int]:
        return rng.sample([*loads, *[0] * (size - len(loads))], size)

    below = [0, *drawn(40, 60, some_idle - 1)]  # further below the mean than any is above it
    return [
        _Load(*drawn(1, 60, any_size)),
        _Load(*rng.sample(below, some_idle)),
        _Load(*among_idle(rng.randint(13, 60), size=one_busy)),
        _Load(*(100_000 * n for n in drawn(40, 60, large))),
        _Load(*among_idle(1, 2, size=few)),  # a mean below 1
        _Load(*[rng.randint(2, 60)] * even),
        _nearly_even(rng, nearly),
        _Load(rng.randint(2, 60)),
        _Load(*[0] * none),
    ]


def _nearly_even(rng: random.Random, size: int) -> _Load:
    """Millions that differ by hundreds: a difference of squares in float32 has nothing left."""
    while True:
        load = _Load(*(3_000_000 + rng.randint(-900, 900) for _ in range(size)))
        mean, square = load.load.float().mean(), load.load.float().square().mean()
        if abs(float((square - mean.square()).clamp(min=0).sqrt() / mean) - _cv(load.load)) > 1e-4:
            return load


Metric = Callable[[Tensor], float]


def _metric_stages(name: str, of: Metric, slips: Mapping[str, Metric]) -> dict[str, Stage]:
    """Stages for a number made from a load: its value, with load as it was, and 0.0 for none."""

    def value(answer, case: _Load) -> None:
        load, true = case.load.clone(), case.load.double()
        if not load.any():
            return
        wrong = {ask: slip(true) for ask, slip in slips.items() if len(true) > 1} | {_ALWAYS_0: 0.0}
        wrong = {ask: number for ask, number in wrong.items() if math.isfinite(number)}
        bound = expect.BOUND if of(true) else 1e-6
        with expect.untouched(lambda: {"load": load}):
            called = f"{name}({load.tolist()})"
            got = expect.number(answer(load), called)
            wrong = {ask: number for ask, number in wrong.items() if _is(got, number)}
            if not _is(got, of(true)):
                wrong = _told_apart(answer, load, wrong, slips)
            expect.number_close(got, of(true), called, wrong, bound)

    def none(answer, case: _Load) -> None:
        if case.load.any():
            return
        got = _number_or_nan(answer, case.load.clone(), name)
        came = "and your code divides zero by zero" if math.isnan(got) else f"got {got:.4g}"
        expect.require(
            abs(got) < 1e-6,
            f"no load at all gives 0.0, so {name}({case.load.tolist()}) must be 0.0, {came}",
            "Which line returns 0.0 where the loads sum to 0?",
        )

    return {"the value within 1e-5": value, "0.0 for no load at all": none}


def _told_apart(
    answer: Callable, load: Tensor, made: Mapping[str, float], slips: Mapping[str, Metric]
) -> dict[str, float]:
    """Of slips that make the number of this load, those that make that of another, or else all."""
    if len(made) < 2:
        return dict(made)
    other = load.flip(0) + 1 + torch.arange(len(load))  # nobody is idle
    got = expect.number(answer(other.clone()), "the number")
    both = {ask: number for ask, number in made.items() if _is(got, slips[ask](other.double()))}
    return both or dict(made)


def _is(got: float, number: float) -> bool:
    return math.isclose(got, number, rel_tol=expect.BOUND, abs_tol=expect.BOUND)


def _number_or_nan(answer: Callable, load: Tensor, name: str) -> float:
    """The number that came; NaN for one that is not a number, or for a division by zero."""
    try:
        got: Any = answer(load)
    except ZeroDivisionError:
        return math.nan
    single = isinstance(got, numbers.Real) or (isinstance(got, Tensor) and got.ndim == 0)
    return math.nan if single and bool(got != got) else expect.number(got, name)


def _busy(load: Tensor) -> Tensor:
    return load[load > 0]


def _rounded_down(load: Tensor) -> float:
    return max(1.0, float(load.mean().floor()))


def _cv(load: Tensor) -> float:
    return float(load.double().std(correction=0) / load.double().mean())


def _violation(load: Tensor) -> float:
    return float((load.max() - load.mean()) / load.mean())


_ALL_EXPERTS = "Are experts that nobody chose left out? The mean is over all E."
_FOUR = "Is E the length of load, and not always 4?"
_NOT_ROUNDED = "Is the mean rounded? It need not be a whole number."
_BELOW_ONE = "Is the mean kept from falling below 1? With fewer choices than experts it does."
_MEDIAN = "Is it the mean that divides, and not the median?"
_SHARE = (
    "Is it the mean that divides, and not the sum? Or are those shares of the whole load, not "
    "divided by their mean, 1/E?"
)
_CLAMPED = "Is it cut off at 1? A busy expert takes it far above."
_PERCENT = "Is that in percent? It is a plain ratio."
_ALWAYS_0 = "Does the line that returns 0.0 answer for every load? Only where all loads are 0."
_ALL_IDLE = "Does 0.0 come as soon as one expert is idle? Only where all loads are 0."

check_load_cv = Check(
    id="D1.4b",
    name="load_cv",
    reference_answer=reference.load_cv,
    draw=_loads,
    stages=_metric_stages(
        "load_cv",
        _cv,
        {
            "Is that the sample deviation (divided by E - 1)?": lambda x: float(x.std() / x.mean()),
            "Is it divided by the mean?": lambda x: float(x.std(correction=0)),
            "Is that the variance?": lambda x: float(x.var(correction=0) / x.mean()),
            "Is that its square: is the root taken, and nothing squared after it?": lambda x: float(
                x.var(correction=0) / x.mean() ** 2
            ),
            "Which is divided by which?": lambda x: float(x.mean() / x.std(correction=0)),
            "Is it the standard deviation that is above the fraction line, and not the largest "
            "load?": lambda x: float(x.max() / x.mean()),
            "Are the deviations squared, and the root taken of their mean?": lambda x: float(
                (x - x.mean()).abs().mean() / x.mean()
            ),
            "Is it the mean that divides, and not the largest load?": lambda x: float(
                x.std(correction=0) / x.max()
            ),
            "Is E counted right under the root? The deviation of all E divides by E.": lambda x: (
                float(x.std(correction=2) / x.mean()) if len(x) > 2 else math.nan
            ),
            "Is it the standard deviation, and not the range from lowest to highest?": lambda x: (
                float((x.max() - x.min()) / x.mean())
            ),
            "Is the sum of squares divided by E before the root?": lambda x: float(
                (x - x.mean()).norm() / x.mean()
            ),
            "Is that the deviation of one expert alone, the one furthest off?": lambda x: float(
                (x - x.mean()).abs().max() / x.mean()
            ),
            "Is it divided by the mean, and not multiplied?": lambda x: float(
                x.std(correction=0) * x.mean()
            ),
            _FOUR: lambda x: float(((x - x.sum() / 4) ** 2).sum().div(4).sqrt() / (x.sum() / 4)),
            f"{_FOUR} Here the deviation is right.": lambda x: float(
                x.std(correction=0) / (x.sum() / 4)
            ),
            "Is the mean of the squares less the square of the mean taken in float32? Of large "
            "loads nothing is left of that: take the mean off first.": lambda x: float(
                (x.float().square().mean() - x.float().mean().square()).clamp(min=0).sqrt()
                / x.float().mean()
            ),
            "Is that MaxVio, which looks at the busiest expert alone?": _violation,
            _ALL_EXPERTS: lambda x: _cv(_busy(x)),
            _NOT_ROUNDED: lambda x: float(
                ((x - _rounded_down(x)) ** 2).mean().sqrt() / _rounded_down(x)
            ),
            _BELOW_ONE: lambda x: float(x.std(correction=0) / x.mean().clamp(min=1)),
            _MEDIAN: lambda x: float(x.std(correction=0) / x.quantile(0.5)),
            _SHARE: lambda x: float(x.std(correction=0) / x.sum()),
            _CLAMPED: lambda x: min(_cv(x), 1.0),
            _PERCENT: lambda x: 100 * _cv(x),
            _ALL_IDLE: lambda x: 0.0 if (x == 0).any() else math.nan,
        },
    ),
    hints=(
        "Which deviation treats the E experts as all there are, and not as a sample?",
        "Look at load.double().std(correction=0) and load.double().mean().",
        "Make the load floating point, return 0.0 if it sums to 0, else deviation over mean.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 90, (64,)),),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)

check_max_violation = Check(
    id="D1.4c",
    name="max_violation",
    reference_answer=reference.max_violation,
    draw=_loads,
    stages=_metric_stages(
        "max_violation",
        _violation,
        {
            "Is the mean taken off the maximum first?": lambda x: float(x.max() / x.mean()),
            "Is that the range, from the lowest?": lambda x: float((x.max() - x.min()) / x.mean()),
            "Is it divided by the mean?": lambda x: float(x.max() - x.mean()),
            "Is it the busiest expert, and not the one furthest from the mean?": lambda x: float(
                (x - x.mean()).abs().max() / x.mean()
            ),
            "Is it the busiest expert, and not the idlest?": lambda x: float(
                1 - x.min() / x.mean()
            ),
            "Is that the coefficient of variation?": _cv,
            "Is it the busiest expert alone, and not how far all are off in the mean?": lambda x: (
                float((x - x.mean()).abs().mean() / x.mean())
            ),
            "Is that the busiest expert's share of the whole load?": lambda x: float(
                x.max() / x.sum()
            ),
            "Is it the mean that divides, and not the standard deviation?": lambda x: float(
                (x.max() - x.mean()) / x.std(correction=0)
            ),
            "Which is divided by which?": lambda x: float(x.mean() / x.max()),
            "Is 1 added, or the mean, where it is to be taken off?": lambda x: float(
                (x.max() + x.mean()) / x.mean()
            ),
            "Is it divided by the mean, and not multiplied?": lambda x: float(
                x.max() * x.mean() - 1
            ),
            "Is it the busiest expert, wherever it stands, and not the first?": lambda x: float(
                x[0] / x.mean() - 1
            ),
            "Is it the busiest expert, wherever it stands, and not the last?": lambda x: float(
                x[-1] / x.mean() - 1
            ),
            "Is it the busiest expert, and not the second busiest?": lambda x: float(
                x.sort().values[-2] / x.mean() - 1
            ),
            _FOUR: lambda x: float(x.max() / (x.sum() / 4) - 1),
            "Is 1 taken off once?": lambda x: float(x.max() / x.mean() - 2),
            "Is the busiest expert in the mean too? It is that of all E.": lambda x: float(
                x.max() * (len(x) - 1) / (x.sum() - x.max()) - 1 if len(x) > 1 else math.nan
            ),
            "Is it the mean that divides, and not the maximum?": lambda x: float(
                (x.max() - x.mean()) / x.max()
            ),
            "Is it the mean that divides, and not the lowest load?": lambda x: float(
                x.max() / x.min().clamp(min=1) - 1
            ),
            _ALL_IDLE: lambda x: 0.0 if (x == 0).any() else math.nan,
            "Is that which expert is the busiest, and not by how much?": lambda x: float(
                x.argmax()
            ),
            "Is argmax taken where max is meant? It is the busiest expert's number, and not its "
            "load.": lambda x: float((x.argmax() - x.mean()) / x.mean()),
            _ALL_EXPERTS: lambda x: _violation(_busy(x)),
            _NOT_ROUNDED: lambda x: float(x.max()) / _rounded_down(x) - 1,
            _BELOW_ONE: lambda x: float((x.max() - x.mean()) / x.mean().clamp(min=1)),
            _MEDIAN: lambda x: float(x.max() / x.quantile(0.5) - 1),
            _SHARE: lambda x: float((x.max() - x.mean()) / x.sum()),
            _CLAMPED: lambda x: min(_violation(x), 1.0),
            _PERCENT: lambda x: 100 * _violation(x),
        },
    ),
    hints=(
        "If every expert took the mean, what would the busiest one be above it?",
        "Look at load.max() and load.double().mean().",
        "Return 0.0 if the load sums to 0, else (maximum - mean) / mean.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 90, (64,)),),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)
