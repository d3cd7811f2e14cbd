"""The check of D3.I1: how much of keys or values the best directions keep."""

import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.slips.energy import CENTRED, WEAKEST, asked, running, squares_of
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d3_mla as reference

_TYPES = torch.float32, torch.float64
_FALLS = (
    "A running sum of squares over one number never falls: is it no running sum, or is each entry "
    "divided by another number?"
)
_ADDED = "Is it a share of the whole, with nothing added to it?"
_THRESHOLD = (
    "Is there a fixed threshold or a rounding in it? What is small depends on how large all "
    "outputs are."
)


@dataclass(frozen=True)
class _Spread:
    """One case: rows with a mean, a few directions stronger than the rest."""

    rows: int
    width: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    weakest: float = 0.3  # the last column's size; the first one's is 2

    def __str__(self) -> str:
        return f"outputs of shape {(self.rows, self.width)}"

    @property
    def count(self) -> int:
        return min(self.rows, self.width)

    def outputs(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(self.rows + 1, self.width, generator=generator, dtype=torch.float64)
        sizes = torch.linspace(math.log(2.0), math.log(self.weakest), self.width)
        drawn *= sizes.double().exp()
        outputs = (drawn[1:] + 0.8 * drawn[0]).to(self.dtype)
        return outputs if self.contiguous else strided(outputs)

    def lengths(self) -> list[int]:
        """1, 2, 3, … for each direction, in an order of the case's own."""
        lengths = list(range(1, self.count + 1))
        random.Random(self.seed).shuffle(lengths)
        return lengths

    def along_axes(self) -> Tensor:
        """Row i is `lengths()[i]` along axis i; further rows are zero."""
        outputs = torch.zeros(self.rows, self.width, dtype=self.dtype)
        for i, length in enumerate(self.lengths()):
            outputs[i, i] = length
        return outputs


def _spreads(rng: random.Random) -> list[_Spread]:
    """Eight cases: more rows than width and fewer, float32, one row, width 1, directions of which
    the weakest hold next to nothing.
    """

    def case(rows: int, width: int, **kind: Any) -> _Spread:
        return _Spread(rows, width, rng.randrange(10**6), **kind)

    few, many = rng.randint(4, 7), rng.randint(9, 20)
    return [
        case(many, few),
        case(few, many),
        case(many + 1, few, dtype=torch.float32, contiguous=False),
        case(few, many + 1, dtype=torch.float32),
        case(few, few),
        case(1, many),
        case(many, 1),
        case(many + 20, 8, weakest=1e-3),
    ]


def _shares(answer, outputs: Tensor) -> Tensor:
    """The shares as float64, once they have the right kind."""
    got, count = answer(outputs), min(outputs.shape)
    type_ = got.dtype if isinstance(got, Tensor) and got.dtype in _TYPES else outputs.dtype
    ask = f"There are min(N, W) = {count} directions that can hold anything."
    if len(outputs) == 1 and isinstance(got, Tensor) and got.isnan().any():
        raise Wrong(f"one row lies along its own direction, a share of 1, got NaN. {CENTRED}")
    return expect.tensor(got, "the shares", (count,), type_, ask, ("directions",)).detach().double()


def _shape(answer, case: _Spread) -> None:
    _shares(answer, case.outputs())


def _rises(answer, case: _Spread) -> None:
    shares = _shares(answer, case.outputs()).tolist()
    for i, (before, after) in enumerate(zip([0.0, *shares], shares, strict=False)):
        if after < before - 1e-5:
            raise Wrong(
                f"{i + 1} directions keep at least what {i} keep, and the shares fall from "
                f"{before:.4g} to {after:.4g}. {_asked(answer, case) or _FALLS}"
            )
    if abs(shares[-1] - 1) > 1e-5:
        said = f"the last share must be 1, for all that there is, got {shares[-1]:.4g}"
        ask = CENTRED if case.rows == 1 else _asked(answer, case) or _why_not_whole(shares)
        raise Wrong(f"{said}. {ask}")


def _asked(answer, case: _Spread) -> str:
    """The questions of the slips that make the answer's shares of any rows, and along axes."""
    made = [(_shares(answer, case.outputs()), case.outputs())]
    with suppress(Wrong):  # another stage says that
        made.append((_shares(answer, case.along_axes()), case.along_axes()))
    return asked(made)


def _why_not_whole(shares: list[float]) -> str:
    if abs(shares[0]) < 1e-6:
        return "Does entry i hold the first i + 1 squares, its own among them?"
    return "Is it divided by the sum of all squares, and does it hold all of them?"


def _known(answer, case: _Spread) -> None:
    """Rows along axes: their squares in order are the answer, without any decomposition.

    Many weak ones beside a strong one count together, each however little.
    """
    squares = [float(length**2) for length in sorted(case.lengths(), reverse=True)]
    name = f"of rows of lengths {case.lengths()}, each along its own axis, the kept share"
    _expect_shares(_shares(answer, case.along_axes()), squares, name, lambda: _asked(answer, case))
    tail = torch.eye(64, dtype=case.dtype)  # together the weak ones hold 6e-5
    tail[0, 0] = 1000.0
    name = "of 64 rows, each along its own axis, one of length 1,000 and the rest of 1, the share"
    got = _shares(answer, tail)
    ask = WEAKEST if expect.near(got, torch.ones(64)) else ""
    _expect_shares(got, [1e6] + 63 * [1.0], name, lambda: ask)


def _any(answer, case: _Spread) -> None:
    """The squares of the singular values as eigenvalues of the smaller product."""
    squares, got = squares_of(case.outputs().double()), _shares(answer, case.outputs())
    _expect_shares(got, squares, "the kept share", lambda: _asked(answer, case))


def _expect_shares(got: Tensor, squares: list[float], name: str, asked: Callable[[], str]) -> None:
    want = running(squares)
    slips = {} if expect.near(got, want) else {asked(): lambda: got}
    expect.close(got, want, name, axes=("place",), slips=slips)


def _scale(answer, case: _Spread) -> None:
    shares = _shares(answer, case.outputs())
    for scale in (1e-3, 1e3):
        name = f"the kept share, with all outputs times {scale:g} as without,"
        got = _shares(answer, scale * case.outputs())
        less = (got <= shares + 1e-5).all() and got.any()
        ask = _ADDED if less else _THRESHOLD
        expect.close(got, shares, name, axes=("place",), slips={ask: got.clone})


def _use(answer, case: _Spread) -> Used:
    outputs = case.outputs()
    return lambda: answer(outputs), lambda: {"outputs": outputs}


check_energy_kept = Check(
    id="D3.I1",
    name="energy_kept",
    reference_answer=reference.energy_kept,
    draw=_spreads,
    stages={
        "one share for each of min(N, W) directions": _shape,
        "inputs untouched": untouched(_use),
        "it rises to 1": _rises,
        "rows along axes: their squares, largest first": _known,
        "any rows, by their singular values": _any,
        "the scale of the outputs does not matter": _scale,
    },
    hints=(
        "Two rows, one of length 3 and one of length 4, at a right angle. Which share of the "
        "squared length does the longer one hold?",
        "Look at torch.linalg.svdvals(outputs): (min(N, W),), largest first. The squares add up "
        "to the sum of all squared numbers in outputs.",
        "Square the singular values, take the running sum, divide by the sum of all squares.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 128) * torch.linspace(2, 0.1, 128),),
        run=lambda function, inputs: function(*inputs),
    ),
)
