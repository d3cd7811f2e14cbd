"""Slow rotations of pairs, which answers about rotary parts are held against."""

from collections.abc import Sequence

import torch
from torch import Tensor

THETA = 10_000.0


Angles = Sequence[float]  # radians per position, one for each rotary pair


def theta_angles(width: int, theta: float = THETA) -> tuple[float, ...]:
    """How far each pair turns per position where RoPE's base is theta."""
    return tuple(theta ** (-i / width) for i in range(0, width, 2))


def slow_rotation(row: Tensor, position: int, angles: Angles) -> Tensor:
    """One vector with neighbours (0, 1), (2, 3), … turned by position times their angle.

    Leading dimensions are further vectors of the same position.
    """
    turn = position * torch.tensor(angles, dtype=torch.float64)
    cos, sin = turn.cos().to(row.dtype), turn.sin().to(row.dtype)
    a, b = row[..., 0::2], row[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def slow_turn(x: Tensor, start: int, angles: Angles) -> Tensor:
    """`(B, L, …, r)`: the rows of position l turned as those of position start + l."""
    rows = [slow_rotation(x[:, i], start + i, angles) for i in range(x.shape[1])]
    return torch.stack(rows, dim=1)


def pair_lengths(x: Tensor) -> Tensor:
    """`(…, r / 2)`: how long each pair of neighbours is, which no turn changes."""
    return x.unflatten(-1, (-1, 2)).norm(dim=-1)
