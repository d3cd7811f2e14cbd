"""What slips make of YaRN's angles, by the question each calls for."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from checks.d3_mla.yarn_cases import Stretched


def agrees(got: Tensor, case: Stretched, slip: Callable[[int], float]) -> bool:
    return all(math.isclose(float(got[i]), slip(i), rel_tol=1e-4) for i in case.pairs)


def mixed(case: Stretched, ramp: Callable[[int], float] | None = None) -> Callable:
    """The angle of a pair of which the ramp's share is divided by factor."""

    def angle(pair: int) -> float:
        share = (ramp or case.ramp)(pair)
        return case.plain(pair) * (1 - share) + case.plain(pair) / case.factor * share

    return angle


def slips_of_ramps(case: Stretched) -> dict[str, Callable[[int], float]]:
    """Other angles by question; where both ends are one pair, a 1 there explains what it can."""
    first, last = case.ends()
    early = mixed(
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


def _slips_of_any_ends(case: Stretched) -> dict[str, Callable[[int], float]]:
    first, last = case.ends()
    length = max(last - first, 0.001)
    cut, right = min(last, case.d_rope // 2 - 1), mixed(case)

    def mixed_with(factor: float) -> Callable[[int], float]:
        return mixed(replace(case, factor=factor), case.ramp)

    def harmonic(pair: int) -> float:
        share = case.ramp(pair)
        return case.plain(pair) / (1 - share + case.factor * share)

    return {
        "Is every pair stretched, the fast ones too?": lambda i: case.plain(i) / case.factor,
        "Does the ramp reach the angles at all?": case.plain,
        "Which end of the ramp divides by factor? The slow pairs are divided.": (
            mixed(case, lambda i: 1 - case.ramp(i))
        ),
        "Is it divided by factor, and not multiplied?": mixed_with(1 / case.factor),
        "Is it divided by factor itself, and not by its root?": mixed_with(case.factor**0.5),
        "Is it divided by factor once?": mixed_with(case.factor**2),
        "Is theta left as it is? A ramp mixes the angles, and no larger theta stretches them.": (
            lambda i: (
                (case.base * case.factor ** (case.d_rope / max(case.d_rope - 2, 1)))
                ** (-2 * i / case.d_rope)
            )
        ),
        "Are the two angles added, each with its share, and factor raised to no power?": lambda i: (
            case.plain(i) * case.factor ** -case.ramp(i)
        ),
        "Is something put on the angles that belongs to the scores, 0.1 · ln(factor) + 1?": (
            lambda i: right(i) * (0.1 * math.log(case.factor) + 1)
        ),
        **_slips_of_reach(case),
        "Is the ramp a straight line, and not squared?": mixed(case, lambda i: case.ramp(i) ** 2),
        "Is the ramp a straight line, and not its root?": mixed(
            case, lambda i: case.ramp(i) ** 0.5
        ),
        "Does the ramp stay between 0 and 1?": mixed(case, lambda i: (i - first) / length),
        "Is the ramp kept from rising above 1?": mixed(
            case, lambda i: max((i - first) / length, 0)
        ),
        "Is the ramp kept from falling below 0?": mixed(
            case, lambda i: min((i - first) / length, 1)
        ),
        "Is `pair - first` in brackets, before it is divided?": mixed(
            case, lambda i: min(max(i - first / length, 0.0), 1.0)
        ),
        "Does the ramp begin one pair early? It is 0 at pair `first`.": mixed(
            case, lambda i: min(max((i - first + 1) / length, 0.0), 1.0)
        ),
        "Does the ramp begin one pair late? It is 0 at pair `first` and 1 at pair `last`.": mixed(
            case, lambda i: min(max((i - first - 1) / length, 0.0), 1.0)
        ),
        "Does the ramp end one pair late? It is 1 at pair `last`.": mixed(
            case, lambda i: min(max((i - first) / (length + 1), 0.0), 1.0)
        ),
        "Is `last` cut off at the last pair, d_rope / 2 - 1? It may lie behind it.": mixed(
            case, lambda i: min(max((i - first) / max(cut - first, 0.001), 0.0), 1.0)
        ),
        "Is it a ramp, and not a step?": mixed(case, lambda i: float(i >= last)),
        "Is it a ramp, and not rounded to 0 and 1?": mixed(case, lambda i: round(case.ramp(i))),
        "Is it a ramp, and not a step from the first pair on?": mixed(
            case, lambda i: float(i > first)
        ),
        "Does the ramp run from pair `first` to pair `last`, and not over all pairs?": mixed(
            case, lambda i: i / max(case.d_rope // 2 - 1, 1)
        ),
        "Does the ramp run from pair `first` to pair `last`, and not from pair 0?": mixed(
            case, lambda i: min(i / max(last, 0.001), 1.0)
        ),
        "Is it divided by last - first, and not by last alone?": mixed(
            case, lambda i: min(max((i - first) / max(last, 0.001), 0.0), 1.0)
        ),
        "Does the ramp run over the pairs, and not over how often each turns?": mixed(
            case, case.ramp_of_turns
        ),
        "Are the angles mixed, and not their inverses?": harmonic,
        "Is the ramp taken over pairs 0, 1, 2, …, and not over their dimensions 0, 2, 4, …?": (
            mixed(case, lambda i: min(max((2 * i - first) / length, 0.0), 1.0))
        ),
    }


def _slips_of_reach(case: Stretched) -> dict[str, Callable[[int], float]]:
    """Ramps of other settings than those of the call."""

    def of(**settings: Any) -> Callable[[int], float]:
        return mixed(case, replace(case, **settings).ramp)

    longer = (case.trained or 4096) * case.factor
    return {
        "Does `trained` reach the ramp, and not 4096?": of(trained=None),
        "Does `theta` reach the ramp, and not 10,000?": of(theta=None),
        "Do `beta_fast` and `beta_slow` reach the ramp?": of(beta_fast=None, beta_slow=None),
        "Does `beta_fast` reach the ramp?": of(beta_fast=None),
        "Does `beta_slow` reach the ramp?": of(beta_slow=None),
        "Are turns counted within the `trained` positions, and not within factor times as many?": (
            of(trained=int(longer))
        ),
    }


def slips_of_factor_one(case: Stretched) -> dict[str, Callable[[int], float]]:
    """Angles with factor=1, where the ramp must not show."""
    return {
        "Do the two shares of the mixture add up to 1?": lambda i: case.plain(i) * case.ramp(i),
        "Does the share of angle / factor come in, so that the two add up to 1?": lambda i: (
            case.plain(i) * (1 - case.ramp(i))
        ),
        "Is pair i's plain angle theta ** (-2 · i / d_rope)?": lambda i: (
            case.base ** (-i / case.d_rope)
        ),
        "Does `theta` reach the angles, and not 10,000?": replace(case, theta=None).plain,
        "Are these the angles, and not the ramp that mixes them?": case.ramp,
        "Is it the angle per position, and not the positions per turn, 2π / angle?": lambda i: (
            2 * math.pi / case.plain(i)
        ),
        "Is pair 0 the fastest, and not the slowest?": lambda i: case.plain(case.pairs[-1 - i]),
    }


def why_other_ramp(got: Tensor, case: Stretched, pair: int) -> str:
    """What angles that no known slip makes say of the ramp, at this pair and at all."""
    first, last = case.ends()
    plain, slow = case.plain(pair), case.plain(pair) / case.factor
    if not slow * (1 - 1e-4) <= float(got[pair]) <= plain * (1 + 1e-4):
        return (
            f"An angle lies between angle / factor = {slow:.4g} and angle: is the ramp kept from 0 "
            "to 1, and are both shares what they are for?"
        )
    shares = [_share(float(got[i]), case, i) for i in case.pairs]
    said = f"That is a ramp of {shares[pair]:.3g}, and it must be {case.ramp(pair):.3g}"
    if last - first <= 1:
        return (
            f"{said}, a step behind pair {first}. What is `pair - first` divided by there, or are "
            "`first` and `last` other pairs?"
        )
    between = [share for share in shares if 1e-4 < share < 1 - 1e-4]
    steps = [b - a for a, b in pairwise(between)]
    if len(steps) < 2:
        return (
            f"{said}: from which pair to which does it rise, in a straight line, and do trained, "
            "theta and the borders reach it?"
        )
    if max(steps) - min(steps) < 1e-3 * max(map(abs, steps)):
        must = 1 / (last - first)
        rises = "as it must" if math.isclose(steps[0], must, rel_tol=1e-3) else f"not by {must:.3g}"
        return (
            f"{said}. It rises by {steps[0]:.3g} a pair, {rises}: from which pair to which, and do "
            "trained, theta and the borders reach it?"
        )
    return (
        f"{said}. Over the pairs it rises by {steps[0]:.3g}, {steps[1]:.3g}, …, and it must in "
        "even steps: is it a straight line, and are both angles added, each with its share?"
    )


def _share(angle: float, case: Stretched, pair: int) -> float:
    """The share of angle / factor in this angle."""
    plain = case.plain(pair)
    return (plain - angle) / (plain - plain / case.factor)
