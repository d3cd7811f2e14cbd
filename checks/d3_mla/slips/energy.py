"""What slips make of the shares of D3.I1, by the question that each calls for."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from checks.grading import expect

CENTRED = "Is the mean of the rows taken off? A latent must keep it too."
WEAKEST = "Do the weakest directions count too?"


def squares_of(outputs: Tensor) -> list[float]:
    """The squares of the singular values, largest first."""
    rows, width = outputs.shape
    product = outputs.T @ outputs if rows > width else outputs @ outputs.T
    return torch.linalg.eigvalsh(product).flip(0).clamp(min=0).tolist()


def running(squares: Sequence[float]) -> Tensor:
    """The share of the first 1, 2, 3, … squares in the sum of all."""
    whole = sum(squares) or 1.0  # of one row without its mean nothing is left
    return torch.tensor([sum(squares[: i + 1]) / whole for i in range(len(squares))])


def asked(made: Sequence[tuple[Tensor, Tensor]]) -> str:
    """The questions of the slips that make all these shares, each of its outputs."""
    found = [
        [ask for ask, slip in _slips(outputs.double()).items() if expect.near(got, slip())]
        for got, outputs in made
    ]
    return expect.joined([ask for ask in found[0] if all(ask in asks for asks in found)])


Slips = dict[str, Callable[[], Tensor]]


def _slips(outputs: Tensor) -> Slips:
    squares = squares_of(outputs)
    return _of_sums(squares, outputs) | _of_squares(squares) | _of_directions(squares, outputs)


def _of_sums(squares: list[float], outputs: Tensor) -> Slips:
    """The right squares, summed or divided otherwise."""
    part = torch.tensor(squares, dtype=torch.float64)
    want, places, whole = running(squares), torch.arange(1, len(squares) + 1), part.sum()
    return {
        "Is it the running sum, and not each direction's own share?": lambda: part / whole,
        "Is it the running sum, and not the running product?": lambda: (part / whole).cumprod(0),
        "Is it what is kept, and not what is lost?": lambda: 1 - want,
        "Is it in percent? A share lies between 0 and 1.": lambda: 100 * want,
        "Is it divided by the sum, and not softmaxed?": lambda: part.softmax(0).cumsum(0),
        "Is it divided by the sum of all squares, and not by the largest?": lambda: (
            part.cumsum(0) / part.max()
        ),
        "Is it divided by the sum of all squares at all?": lambda: part.cumsum(0),
        "Is it divided by the sum of all squares, and not multiplied by it?": lambda: (
            part.cumsum(0) * whole
        ),
        "Is it divided by the sum of all squares, and not by the number of rows?": lambda: (
            part.cumsum(0) / len(outputs)
        ),
        "Is it divided by the sum of all squares, and not by each direction's own?": lambda: (
            part.cumsum(0) / part
        ),
        "Is it divided by the sum of all squares, and not by how many there are so far?": lambda: (
            part.cumsum(0) / places
        ),
        "Is it divided by the sum of all squares alone, and not by how many there are too?": (
            lambda: want * places / len(squares)
        ),
        "Does entry i hold the first i + 1 squares, its own among them?": lambda: (
            want - part / whole
        ),
        "Does the strongest direction come first?": lambda: running(squares[::-1]),
        "Is the running sum begun at the weakest direction, and turned round afterwards?": lambda: (
            running(squares[::-1]).flip(0)
        ),
    }


def _of_squares(squares: list[float]) -> Slips:
    """Other powers of the right singular values, in the right order."""
    values = torch.tensor(squares, dtype=torch.float64).sqrt()
    return {
        "Is no root taken of the shares? They are of squared lengths.": lambda: running(
            squares
        ).sqrt(),
        "Are the values squared, and not cubed?": lambda: running([v**1.5 for v in squares]),
        "Are the values squared first, and then summed?": lambda: (
            values.cumsum(0) / values.sum()
        ).square(),
        "Is a direction's part of the squared length the square of its singular value?": lambda: (
            running([value**0.5 for value in squares])
        ),
        "Is it squared twice? The eigenvalues of y.T @ y are squares already.": lambda: running(
            [value**2 for value in squares]
        ),
        WEAKEST: lambda: running([value * (value > 1e-4 * squares[0]) for value in squares]),
    }


def _of_directions(squares: list[float], outputs: Tensor) -> Slips:
    """Other directions, or those of other rows."""
    columns, n = outputs.square().sum(0), len(squares)
    sizes = outputs.norm(dim=0).clamp(min=1e-30), outputs.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return {
        "Are the rows taken as they come, and not brought to length 1?": lambda: running(
            squares_of(outputs / sizes[1])
        ),
        "Are the outputs taken as they come, and their columns not brought to length 1?": lambda: (
            running(squares_of(outputs / sizes[0]))
        ),
        "Are these the squared lengths of columns? The best directions lie along no axis.": (
            lambda: columns.sort(descending=True).values[:n].cumsum(0) / columns.sum()
        ),
        "Are these the squared lengths of columns, in their own order? The best directions lie "
        "along no axis.": lambda: (columns.cumsum(0) / columns.sum())[:n],
        "Are these directions in the order of the columns, as QR gives them, and not those that "
        "keep most?": lambda: running(torch.linalg.qr(outputs).R.square().sum(1).tolist()),
        CENTRED: lambda: running((torch.linalg.svdvals(outputs - outputs.mean(0)) ** 2).tolist()),
    }
