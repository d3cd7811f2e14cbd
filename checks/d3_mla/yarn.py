"""The check of D3.I2: the angles of the rotary pairs under YaRN."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.older_parts import as_taken
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from solutions import d3_mla as reference

_TYPES = torch.float32, torch.float64


@dataclass(frozen=True)
class _Stretched:
    """One case; what is None is left to its default."""

    d_rope: int
    factor: float
    trained: int | None = None
    theta: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None

    def __str__(self) -> str:
        parts = [f"d_rope={self.d_rope}", f"factor={self.factor:g}"]
        return ", ".join([*parts, *(f"{name}={value:g}" for name, value in self.options().items())])

    def options(self) -> dict:
        names = "trained", "theta", "beta_fast", "beta_slow"
        every = {name: getattr(self, name) for name in names}
        return {name: value for name, value in every.items() if value is not None}

    @property
    def base(self) -> float:
        return self.theta or 10_000.0

    @property
    def pairs(self) -> range:
        return range(self.d_rope // 2)

    def plain(self, pair: int) -> float:
        """The angle per position without YaRN."""
        return self.base ** (-2 * pair / self.d_rope)

    def ends(self) -> tuple[int, int]:
        """The last pair that keeps its angle, and the first that has it divided."""

        def pair_that_turns(times: float) -> float:
            length = (self.trained or 4096) / (2 * math.pi * times)
            return self.d_rope * math.log(length) / (2 * math.log(self.base))

        first = math.floor(pair_that_turns(self.beta_fast or 32))
        last = math.ceil(pair_that_turns(self.beta_slow or 1))
        return max(first, 0), min(last, self.d_rope - 1)

    def ramp(self, pair: int) -> float:
        first, last = self.ends()
        return min(max((pair - first) / max(last - first, 0.001), 0.0), 1.0)

    def ramp_of_turns(self, pair: int) -> float:
        """A slip: even over the number of turns within the trained positions."""
        fast, slow = self.beta_fast or 32, self.beta_slow or 1
        turns = (self.trained or 4096) * self.plain(pair) / (2 * math.pi)
        return min(max((fast - turns) / (fast - slow), 0.0), 1.0)


def _stretcheds(rng: random.Random) -> list[_Stretched]:
    """Eleven cases: V3's own, other lengths and bases, no pair that keeps its angle, a ramp that
    goes on behind the last pair, a ramp of one step, one pair, other borders of the ramp, a ramp
    without length.
    """

    def factor() -> float:
        return rng.choice([2.5, 4.0, 8.0, 16.0, 40.0])

    def wide(**kind: Any) -> _Stretched:
        return _Stretched(2 * rng.randint(20, 40), factor(), **kind)

    return [
        _Stretched(64, 40.0),
        wide(),
        wide(trained=rng.choice([1024, 2048])),
        wide(theta=rng.choice([5e4, 5e5])),
        wide(trained=rng.choice([8192, 16384]), theta=1e6),
        _Stretched(2 * rng.randint(5, 9), factor(), trained=rng.randint(100, 190)),
        _Stretched(2 * rng.randint(8, 16), factor(), trained=4096, theta=100.0),
        _Stretched(4, factor(), trained=rng.randint(250, 600)),
        _Stretched(2, factor()),
        wide(beta_fast=rng.uniform(10, 20), beta_slow=rng.uniform(2, 4)),
        _Stretched(8, factor(), trained=rng.randint(4, 6)),
    ]


def _angles(answer, case: _Stretched, factor: float | None = None) -> Tensor:
    """The angles, once they have the right kind; either floating type will do."""
    got = answer(case.d_rope, case.factor if factor is None else factor, **case.options())
    type_ = got.dtype if isinstance(got, Tensor) and got.dtype in _TYPES else torch.float64
    ask = "There is one angle for each of the d_rope / 2 pairs."
    if isinstance(got, Tensor) and got.isnan().any():
        first, last = case.ends()
        raise Wrong(
            f"with first={first} and last={last} the angles must be numbers, got NaN. Is anything "
            "divided by last - first where that is 0? The ramp is a step then."
        )
    return (
        expect.tensor(got, "the angles", (case.d_rope // 2,), type_, ask, ("pairs",))
        .detach()
        .double()
    )


def _expect(
    got: Tensor,
    case: _Stretched,
    of: Callable[[int], float],
    pairs: Iterable[int],
    why: str,
    slips: dict[str, Callable[[int], float]],
) -> None:
    """`of(pair)` for each of these pairs, with an error in proportion to the angle itself."""
    for pair in pairs:
        want, came = of(pair), float(got[pair])
        if abs(came - want) > 1e-5 * want:
            asks = [ask for ask, slip in slips.items() if _agrees(got, case, slip)]
            expect.require(
                False,
                f"pair {pair}, whose plain angle is {case.plain(pair):.4g}, {why}: the angle must "
                f"be {want:.4g}, got {came:.4g}",
                expect.joined(asks) or _default_question(case, pair, came, why),
            )


def _default_question(case: _Stretched, pair: int, came: float, why: str) -> str:
    """What an angle that no known slip makes says of the ramp."""
    if "factor=1" in why:
        return "Are the angles theta's, fastest first, and do the two shares add up to 1?"
    plain, slow = case.plain(pair), case.plain(pair) / case.factor
    if not slow * (1 - 1e-4) <= came <= plain * (1 + 1e-4):
        return (
            f"An angle lies between angle / factor = {slow:.4g} and angle: is the ramp kept from 0 "
            "to 1, and are both shares what they are for?"
        )
    share = (plain - came) / (plain - slow)
    return (
        f"That is a ramp of {share:.3g}, and it must be {case.ramp(pair):.3g}: from which pair to "
        "which does it rise, in a straight line, and do trained, theta and the borders reach it?"
    )


def _agrees(got: Tensor, case: _Stretched, slip: Callable[[int], float]) -> bool:
    return all(math.isclose(float(got[i]), slip(i), rel_tol=1e-4) for i in case.pairs)


def _mixed(case: _Stretched, ramp: Callable[[int], float] | None = None) -> Callable:
    """The angle of a pair of which the ramp's share is divided by factor."""

    def angle(pair: int) -> float:
        share = (ramp or case.ramp)(pair)
        return case.plain(pair) * (1 - share) + case.plain(pair) / case.factor * share

    return angle


def _slips(case: _Stretched) -> dict[str, Callable[[int], float]]:
    """Other angles by question; where both ends are one pair, a 1 there explains what it can."""
    first, last = case.ends()
    early = _mixed(
        case,
        lambda i: 1.0 if i >= last else min(max((i - first) / max(last - first - 1, 1), 0.0), 1.0),
    )
    others = _slips_of_any_ends(case)
    if first == last:
        pairs = case.pairs
        others = {
            ask: slip
            for ask, slip in others.items()
            if not all(math.isclose(slip(i), early(i), rel_tol=1e-4) for i in pairs)
        }
    return {_REACHES_ONE: early} | others


_REACHES_ONE = (
    "Is the ramp 1 one pair too early? It is 0 at pair `first`, also where `last` is that pair, "
    "and 1 not before pair `last`."
)


def _slips_of_any_ends(case: _Stretched) -> dict[str, Callable[[int], float]]:
    first, last = case.ends()
    length = max(last - first, 0.001)
    cut = min(last, case.d_rope // 2 - 1)

    def harmonic(pair: int) -> float:
        share = case.ramp(pair)
        return case.plain(pair) / (1 - share + case.factor * share)

    return {
        "Is every pair stretched, the fast ones too?": lambda i: case.plain(i) / case.factor,
        "Does the ramp reach the angles at all?": case.plain,
        "Which end of the ramp divides by factor? The slow pairs are divided.": (
            _mixed(case, lambda i: 1 - case.ramp(i))
        ),
        "Is it divided by factor, and not multiplied?": lambda i: (
            case.plain(i) * (1 - case.ramp(i)) + case.plain(i) * case.factor * case.ramp(i)
        ),
        "Is it divided by factor itself, and not by its root?": lambda i: (
            case.plain(i) * (1 - case.ramp(i)) + case.plain(i) / case.factor**0.5 * case.ramp(i)
        ),
        "Is the ramp a straight line, and not squared?": _mixed(case, lambda i: case.ramp(i) ** 2),
        "Is the ramp a straight line, and not its root?": _mixed(
            case, lambda i: case.ramp(i) ** 0.5
        ),
        "Does the ramp stay between 0 and 1?": _mixed(case, lambda i: (i - first) / length),
        "Does the ramp begin one pair early? It is 0 at pair `first`.": _mixed(
            case, lambda i: min(max((i - first + 1) / length, 0.0), 1.0)
        ),
        "Does the ramp begin one pair late? It is 0 at pair `first` and 1 at pair `last`.": _mixed(
            case, lambda i: min(max((i - first - 1) / length, 0.0), 1.0)
        ),
        "Does the ramp end one pair late? It is 1 at pair `last`.": _mixed(
            case, lambda i: min(max((i - first) / (length + 1), 0.0), 1.0)
        ),
        "Is `last` cut off at the last pair, d_rope / 2 - 1? It may lie behind it.": _mixed(
            case, lambda i: min(max((i - first) / max(cut - first, 0.001), 0.0), 1.0)
        ),
        "Is it a ramp, and not a step?": _mixed(case, lambda i: float(i >= last)),
        "Is it a ramp, and not a step from the first pair on?": _mixed(
            case, lambda i: float(i > first)
        ),
        "Does the ramp run from pair `first` to pair `last`, and not over all pairs?": _mixed(
            case, lambda i: i / max(case.d_rope // 2 - 1, 1)
        ),
        "Does the ramp run from pair `first` to pair `last`, and not from pair 0?": _mixed(
            case, lambda i: min(i / max(last, 0.001), 1.0)
        ),
        "Is it divided by last - first, and not by last alone?": _mixed(
            case, lambda i: min(max((i - first) / max(last, 0.001), 0.0), 1.0)
        ),
        "Does the ramp run over the pairs, and not over how often each turns?": _mixed(
            case, case.ramp_of_turns
        ),
        "Are the angles mixed, and not their inverses?": harmonic,
        "Is the ramp taken over pairs 0, 1, 2, …, and not over their dimensions 0, 2, 4, …?": (
            _mixed(case, lambda i: min(max((2 * i - first) / length, 0.0), 1.0))
        ),
    }


def _shape(answer, case: _Stretched) -> None:
    _angles(answer, case)


def _factor_one(answer, case: _Stretched) -> None:
    got, why = _angles(answer, case, factor=1.0), "keeps it with factor=1"
    slips = {
        "Do the two shares of the mixture add up to 1?": lambda i: case.plain(i) * case.ramp(i),
        "Is pair i's plain angle theta ** (-2 · i / d_rope)?": lambda i: (
            case.base ** (-i / case.d_rope)
        ),
    }
    _expect(got, case, case.plain, case.pairs, why, slips)


def _fast(answer, case: _Stretched) -> None:
    first, last = case.ends()
    why = f"keeps it, as all up to pair {first} do" + (", which `last` is too" * (first == last))
    pairs = [i for i in case.pairs if i <= first]
    _expect(_angles(answer, case), case, case.plain, pairs, why, _slips(case))


def _slow(answer, case: _Stretched) -> None:
    first, last = case.ends()
    why = f"has it divided by factor={case.factor:g}, as all from pair {last} on do"
    pairs = [i for i in case.pairs if i >= last and i > first]
    got = _angles(answer, case)
    _expect(got, case, lambda i: case.plain(i) / case.factor, pairs, why, _slips(case))


def _between(answer, case: _Stretched) -> None:
    first, last = case.ends()
    why = f"lies on the ramp from 0 at pair {first} to 1 at pair {last}"
    pairs = [i for i in case.pairs if first < i < last]
    _expect(_angles(answer, case), case, _mixed(case), pairs, why, _slips(case))


check_yarn_frequencies = Check(
    id="D3.I2",
    name="yarn_frequencies",
    reference_answer=reference.yarn_frequencies,
    draw=_stretcheds,
    stages=as_taken(
        {
            "one angle per pair": _shape,
            "factor 1 changes nothing": _factor_one,
            "fast pairs keep their angle": _fast,
            "slow pairs have it divided by factor": _slow,
            "between them, a ramp over the pairs": _between,
        },
        "beta_fast",
        beta_fast=None,
        beta_slow=None,
    ),
    hints=(
        "A context 40 times as long has positions a slow pair never saw in training. What does "
        "dividing its angle by 40 do to the largest angle it sees?",
        "Look at pair, (d_rope / 2,): what must be taken off and by what must it be divided so "
        "that `first` becomes 0 and `last` becomes 1? And what of the pairs outside?",
        "ramp is (pair - first) / max(last - first, 0.001), kept between 0 and 1: a step where the "
        "ends meet. Return angle × (1 - ramp) + angle / factor × ramp.",
    ),
    compared=Comparison(
        inputs=lambda: (64, 40.0),
        run=lambda function, inputs: function(*inputs),
    ),
)
