"""Trained attentions for D3.3f, the least that latents lose of them, and what slips lose."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.grading.strided import strided

_CLEAR = 0.005  # how much more of the whole a slip loses, so that no rounding hides it
ALONE = {"keys": 0, "values": 1}


@dataclass(frozen=True)
class Trained:
    """One case: weights `(width, d_model)`, and inputs with a mean and a few strong directions."""

    rows: int
    d_model: int
    width: int
    d_latent: int
    seed: int
    dtype: torch.dtype = torch.float64
    learnable: bool = False

    def __str__(self) -> str:
        return (
            f"W_K and W_V of shape {(self.width, self.d_model)}, activations of shape "
            f"{(self.rows, self.d_model)}, d_latent={self.d_latent}"
        )

    def _drawn(self, offset: int, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + offset)
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def weights(self) -> tuple[Tensor, Tensor]:
        """W_K and W_V, which read some directions of x far more than others; they need a gradient,
        as an `nn.Linear`'s do, in a case that says so.
        """
        drawn = (
            self._drawn(0, 2, self.width, self.d_model) * (0.7 * self._drawn(1, self.d_model)).exp()
        )
        pair = (drawn @ self._turn()).to(self.dtype)
        return tuple(weight.clone().requires_grad_(self.learnable) for weight in pair)

    def activations(self) -> Tensor:
        """`(N, D)`; not contiguous."""
        strength = (0.7 * self._drawn(2, self.d_model)).exp()
        drawn = (self._drawn(3, self.rows, self.d_model) + self._drawn(4, self.d_model)) * strength
        return strided((drawn @ self._turn()).to(self.dtype))

    def _turn(self) -> Tensor:
        """Axes that belong to no single number of x."""
        return torch.linalg.qr(self._drawn(5, self.d_model, self.d_model)).Q

    def outputs(self) -> list[Tensor]:
        """Keys and values `(N, W)` of the activations."""
        return [self.activations().double() @ w.detach().double().T for w in self.weights()]


def traineds(rng: random.Random) -> list[Trained]:
    """Seven cases: fewer outputs than inputs and more, float32, one direction, fewer activations
    than a key is wide, fewer than directions asked for, one row of weights. In none of the first
    five does a slip lose hardly more than the best directions do.
    """

    def case(width: int, d_latent: int | None = None, few: bool = False, **kind: Any) -> Trained:
        while True:
            rank = d_latent or rng.randint(2, 3)
            rows = 7 if few else rng.randint(30, 50)
            d_model = rng.choice([n for n in range(10, 15) if n != width])
            drawn = Trained(rows, d_model, width, rank, rng.randrange(10**6), **kind)
            if drawn.width == 1 or _is_clear(drawn):
                return drawn

    return [
        case(rng.randint(8, 10)),
        case(rng.randint(8, 10), dtype=torch.float32),
        case(rng.randint(14, 16)),
        case(rng.randint(8, 10), 1, learnable=True),
        case(rng.randint(8, 9), few=True),
        Trained(rng.randint(4, 5), 12, rng.randint(8, 9), 6, rng.randrange(10**6)),
        case(1, 1),
    ]


def _is_clear(case: Trained) -> bool:
    """Whether each slip loses more than the best directions, of keys, values and both together."""
    for part in ("keys", "values", "both"):
        least = least_lost(case, part)
        if any(loss() < least + _CLEAR for loss in slips_of_directions(case, part).values()):
            return False
    return True


def own_of(pair: Sequence[Tensor], part: str, dim: int = 0) -> Tensor:
    """What belongs to the keys, to the values, or to both side by side."""
    return torch.cat(list(pair), dim) if part == "both" else pair[ALONE[part]]


def rank_of(case: Trained, part: str) -> int:
    return 2 * case.d_latent if part == "both" else case.d_latent


def main_directions(matrix: Tensor) -> Tensor:
    """The directions of the rows, one per column, strongest first: `(W, W)`."""
    return torch.linalg.eigh(matrix.T @ matrix).eigenvectors.flip(-1)


def lost(outputs: Tensor, directions: Tensor) -> float:
    """The share of the squared length that these orthonormal directions do not keep."""
    return 1 - float((outputs @ directions).square().sum() / outputs.square().sum())


def least_lost(case: Trained, part: str) -> float:
    """What the best directions lose: the squares of the singular values that are left."""
    squares = torch.linalg.svdvals(own_of(case.outputs(), part, 1)).square()
    return float(squares[rank_of(case, part) :].sum() / squares.sum())


def slips_of_directions(case: Trained, part: str) -> dict[str, Callable[[], float]]:
    """What the directions of a slip lose, by the question that asks about it."""
    outputs, rank = own_of(case.outputs(), part, 1), rank_of(case, part)
    weights = own_of(case.weights(), part).detach().double()
    whole, inputs = part == "both", case.activations().double()
    name = "keys and values" if whole else part
    found = {
        f"Are these the directions of the weights alone? It is the {name} that these activations "
        "give which must be kept.": lambda: lost(outputs, main_directions(weights.T)[:, :rank]),
        f"Is the mean of the {name} taken off before? down and up have no bias to put it "
        "back.": lambda: lost(outputs, main_directions(outputs - outputs.mean(0))[:, :rank]),
        "Are these the weakest directions? Which end does eigh begin with?": lambda: lost(
            outputs, main_directions(outputs)[:, -rank:]
        ),
        f"Are these the directions of the activations, and not of the {name}?": lambda: lost(
            outputs, torch.linalg.qr(weights @ main_directions(inputs)[:, :rank]).Q
        ),
    }
    return found if whole else found | _exchanged(case, part, rank)


def _exchanged(case: Trained, part: str, rank: int) -> dict[str, Callable[[], float]]:
    own, other = own_of(case.outputs(), part), case.outputs()[1 - ALONE[part]]
    return {
        f"Do the {part} have directions of their own?": lambda: lost(
            own, main_directions(other)[:, :rank]
        )
    }
