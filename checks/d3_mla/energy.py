"""The check of D3.I1: how much of keys or values the best directions keep."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d3_mla as reference

_TYPES = torch.float32, torch.float64
_CENTRED = "Is the mean of the rows taken off? A latent must keep it too."


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
        raise Wrong(f"one row lies along its own direction, a share of 1, got NaN. {_CENTRED}")
    return expect.tensor(got, "the shares", (count,), type_, ask, ("directions",)).detach().double()


def _shape(answer, case: _Spread) -> None:
    _shares(answer, case.outputs())


def _rises(answer, case: _Spread) -> None:
    shares = _shares(answer, case.outputs()).tolist()
    for i, (before, after) in enumerate(zip([0.0, *shares], shares, strict=False)):
        if after < before - 1e-5:
            ask = _matching(shares, case) or "Is it the running sum?"
            raise Wrong(
                f"{i + 1} directions keep at least what {i} keep, and the shares fall from "
                f"{before:.4g} to {after:.4g}. {ask}"
            )
    expect.require(
        abs(shares[-1] - 1) <= 1e-5,
        f"the last share must be 1, for all that there is, got {shares[-1]:.4g}",
        _CENTRED if case.rows == 1 else _matching(shares, case) or _why_not_whole(shares, case),
    )


def _matching(shares: list[float], case: _Spread) -> str:
    """The questions of the slips that make these shares of the case's outputs."""
    outputs, got = case.outputs().double(), torch.tensor(shares, dtype=torch.float64)
    squares = _squares(outputs)
    slips = _slips(squares, outputs)
    return expect.joined([ask for ask, slip in slips.items() if expect.near(got, slip(), 1e-4)])


def _why_not_whole(shares: list[float], case: _Spread) -> str:
    columns = case.outputs().double().square().sum(0).sort(descending=True).values
    best = columns.cumsum(0)[: len(shares)] / columns.sum()
    if expect.near(torch.tensor(shares), best.float(), 1e-4):
        return "Are these the squared lengths of columns? The best directions lie along no axis."
    if abs(shares[0]) < 1e-6:
        return "Does entry i hold the first i + 1 squares, its own among them?"
    return "Is it divided by the sum of all squares, and does it hold all of them?"


def _known(answer, case: _Spread) -> None:
    """Rows along axes: their squares in order are the answer, without any decomposition.

    Many weak ones beside a strong one count together, each however little.
    """
    squares = [float(length**2) for length in sorted(case.lengths(), reverse=True)]
    name = f"of rows of lengths {case.lengths()}, each along its own axis, the kept share"
    _expect_shares(_shares(answer, case.along_axes()), squares, case.along_axes(), name)
    tail = torch.eye(64, dtype=case.dtype)  # together the weak ones hold 6e-5
    tail[0, 0] = 1000.0
    name = "of 64 rows, each along its own axis, one of length 1,000 and the rest of 1, the share"
    _expect_shares(_shares(answer, tail), [1e6] + 63 * [1.0], tail, name)


def _any(answer, case: _Spread) -> None:
    """The squares of the singular values as eigenvalues of the smaller product."""
    outputs = case.outputs().double()
    squares = _squares(outputs)
    _expect_shares(_shares(answer, case.outputs()), squares, outputs, "the kept share")


def _squares(outputs: Tensor) -> list[float]:
    rows, width = outputs.shape
    product = outputs.T @ outputs if rows > width else outputs @ outputs.T
    return torch.linalg.eigvalsh(product).flip(0).clamp(min=0).tolist()


def _running(squares: list[float]) -> Tensor:
    whole = sum(squares) or 1.0  # of one row without its mean nothing is left
    return torch.tensor([sum(squares[: i + 1]) / whole for i in range(len(squares))])


def _expect_shares(got: Tensor, squares: list[float], outputs: Tensor, name: str) -> None:
    slips = _slips(squares, outputs.double())
    expect.close(got, _running(squares), name, axes=("place",), slips=slips)


def _slips(squares: list[float], outputs: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What slips make of the shares, by the question that each calls for."""
    centred = outputs - outputs.mean(0)
    want, part = _running(squares), torch.tensor(squares, dtype=torch.float64)
    values, places = part.sqrt(), torch.arange(1, len(squares) + 1)
    columns = outputs.square().sum(0).sort(descending=True).values[: len(squares)]
    return {
        "Is it the running sum, and not each direction's own share?": lambda: part / part.sum(),
        "Is it what is kept, and not what is lost?": lambda: 1 - want,
        "Is no root taken of the shares? They are of squared lengths.": lambda: want.sqrt(),
        "Are the values squared, and not cubed?": lambda: _running([v**1.5 for v in squares]),
        "Is it divided by the sum, and not softmaxed?": lambda: part.softmax(0).cumsum(0),
        "Are the values squared first, and then summed?": lambda: (
            values.cumsum(0) / values.sum()
        ).square(),
        "Is it divided by the sum of all squares, and not by the largest?": lambda: (
            part.cumsum(0) / part.max()
        ),
        "Is it divided by the sum of all squares at all?": lambda: part.cumsum(0),
        "Is it divided by the sum of all squares, and not by how many there are so far?": lambda: (
            part.cumsum(0) / places
        ),
        "Is it divided by the sum of all squares alone, and not by how many there are too?": (
            lambda: want * places / len(squares)
        ),
        "Does entry i hold the first i + 1 squares, its own among them?": lambda: (
            want - part / part.sum()
        ),
        "Are the rows taken as they come, and not brought to length 1?": lambda: _running(
            _squares(outputs / outputs.norm(dim=1, keepdim=True).clamp(min=1e-30))
        ),
        "Are these the squared lengths of columns? The best directions lie along no axis.": (
            lambda: columns.cumsum(0) / outputs.square().sum()
        ),
        "Are these the squared lengths of columns, in their own order? The best directions lie "
        "along no axis.": lambda: (outputs.square().sum(0).cumsum(0) / outputs.square().sum())[
            : len(squares)
        ],
        "Is a direction's part of the squared length the square of its singular value?": lambda: (
            _running([value**0.5 for value in squares])
        ),
        "Is it squared twice? The eigenvalues of y.T @ y are squares already.": lambda: _running(
            [value**2 for value in squares]
        ),
        "Does the strongest direction come first?": lambda: _running(squares[::-1]),
        _CENTRED: lambda: _running((torch.linalg.svdvals(centred) ** 2).tolist()),
        "Do the weakest directions count too?": lambda: _running(
            [value * (value > 1e-4 * squares[0]) for value in squares]
        ),
    }


def _scale(answer, case: _Spread) -> None:
    shares = _shares(answer, case.outputs())
    for scale in (1e-3, 1e3):
        name = f"the kept share, with all outputs times {scale:g} as without,"
        ask = "Is it a share of the whole, with nothing added to it?"
        got = _shares(answer, scale * case.outputs())
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
