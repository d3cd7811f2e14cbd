"""The check of D3.I2: the angles of the rotary pairs under YaRN."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from checks.d3_mla.older_parts import as_taken
from checks.d3_mla.slips.yarn import (
    agrees,
    mixed,
    slips_of_factor_one,
    slips_of_ramps,
    why_other_ramp,
)
from checks.d3_mla.yarn_cases import Stretched, stretcheds
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d3_mla as reference

_TYPES = torch.float32, torch.float64


def _angles(answer, case: Stretched, factor: float | None = None) -> Tensor:
    """The angles, once they have the right kind; either floating type will do."""
    got = answer(case.d_rope, case.factor if factor is None else factor, **case.options())
    type_ = got.dtype if isinstance(got, Tensor) and got.dtype in _TYPES else torch.float64
    ask = "There is one angle for each of the d_rope / 2 pairs." if isinstance(got, Tensor) else ""
    if isinstance(got, Tensor):
        _expect_finite(got, case)
    return (
        expect.tensor(got, "the angles", (case.d_rope // 2,), type_, ask, ("pairs",))
        .detach()
        .double()
    )


def _expect_finite(got: Tensor, case: Stretched) -> None:
    """No division by what is 0: the length of a ramp, or the ramp itself."""
    first, last = case.ends()
    expect.require(
        first != last or not got.isnan().any(),
        f"with first={first} and last={last} the angles must be numbers, got NaN",
        "Is anything divided by last - first where that is 0? The ramp is a step then.",
    )
    infinite = got.isinf().nonzero().flatten().tolist() if got.ndim == 1 else []
    expect.require(
        not infinite or any(case.ramp(pair) for pair in infinite),
        f"the angles must be finite, got infinity from pair {min(infinite, default=0)} on",
        "Is anything divided by the ramp, which is 0 there?",
    )


def _expect(
    got: Tensor,
    case: Stretched,
    of: Callable[[int], float],
    pairs: Iterable[int],
    why: str,
    slips: dict[str, Callable[[int], float]],
    otherwise: Callable[[int], str],
) -> None:
    """`of(pair)` for each of these pairs, with an error in proportion to the angle itself.

    `otherwise(pair)` is asked of the first that is wrong where no slip fits.
    """
    for pair in pairs:
        want, came = of(pair), float(got[pair])
        if abs(came - want) > 1e-5 * want:
            asks = [ask for ask, slip in slips.items() if agrees(got, case, slip)]
            expect.require(
                False,
                f"pair {pair}, whose plain angle is {case.plain(pair):.4g}, {why}: the angle must "
                f"be {want:.4g}, got {came:.4g}",
                expect.joined(asks) or otherwise(pair),
            )


def _expect_ramp(
    got: Tensor, case: Stretched, of: Callable[[int], float], pairs: Iterable[int], why: str
) -> None:
    right = mixed(case)

    def otherwise(pair: int) -> str:
        return _of_one_factor(got, case, right) or why_other_ramp(got, case, pair)

    _expect(got, case, of, pairs, why, slips_of_ramps(case), otherwise)


def _of_one_factor(got: Tensor, case: Stretched, right: Callable[[int], float]) -> str:
    """The question where all angles are right but for one factor."""
    factor = float(got[0]) / right(0)
    if len(case.pairs) < 3 or not agrees(got, case, lambda i: factor * right(i)):
        return ""
    return (
        f"Every angle is {factor:.4g} times what it must be. Is it in radians per position (a turn "
        "is 2π), do the two shares add up to 1, and is nothing put on the angles?"
    )


def _shape(answer, case: Stretched) -> None:
    _angles(answer, case)


def _factor_one(answer, case: Stretched) -> None:
    got, why = _angles(answer, case, factor=1.0), "keeps it with factor=1"
    slips = slips_of_factor_one(case)

    def otherwise(_: int) -> str:
        stretched = _angles(answer, case)
        if agrees(got, case, lambda i: float(stretched[i])):
            return f"The angles are the same with factor={case.factor:g}: is factor read?"
        return _of_one_factor(got, case, case.plain) or (
            "Are the angles theta's, fastest first, and do the two shares add up to 1?"
        )

    _expect(got, case, case.plain, case.pairs, why, slips, otherwise)


def _fast(answer, case: Stretched) -> None:
    first, last = case.ends()
    why = f"keeps it, as all up to pair {first} do" + (", which `last` is too" * (first == last))
    pairs = [i for i in case.pairs if i <= first]
    _expect_ramp(_angles(answer, case), case, case.plain, pairs, why)


def _slow(answer, case: Stretched) -> None:
    first, last = case.ends()
    which = f"after pair {first}" if first == last else f"from pair {last} on"
    why = f"has it divided by factor={case.factor:g}, as all {which} do"
    pairs = [i for i in case.pairs if i >= last and i > first]
    got = _angles(answer, case)
    _expect_ramp(got, case, lambda i: case.plain(i) / case.factor, pairs, why)


def _between(answer, case: Stretched) -> None:
    first, last = case.ends()
    why = f"lies on the ramp from 0 at pair {first} to 1 at pair {last}"
    pairs = [i for i in case.pairs if first < i < last]
    _expect_ramp(_angles(answer, case), case, mixed(case), pairs, why)


check_yarn_frequencies = Check(
    id="D3.I2",
    name="yarn_frequencies",
    reference_answer=reference.yarn_frequencies,
    draw=stretcheds,
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
