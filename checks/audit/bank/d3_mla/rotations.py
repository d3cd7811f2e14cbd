"""Ways to rotate the pairs of x (*batch, L, H, r), right and wrong, which D3's answers share."""

import torch
from torch import Tensor


def angles(x: Tensor, start: int, theta: float, given: Tensor | None = None) -> Tensor:
    """The angle of each position and pair, (L, 1, r / 2), in float64: theta's, or `given` ones."""
    return positions(x, start) * frequencies(x.shape[-1], theta, given)


def frequencies(width: int, theta: float, given: Tensor | None) -> Tensor:
    """The angle per position of each pair, (r / 2,), in float64."""
    if given is not None:
        return given.double()
    return theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


def positions(x: Tensor, start: int) -> Tensor:
    """The position of each row, (L, 1, 1), in float64."""
    return torch.arange(start, start + x.shape[-3], dtype=torch.float64)[:, None, None]


def by_complex(x: Tensor, angle: Tensor) -> Tensor:
    """A product of complex numbers, as DeepSeek's code has it."""
    pairs = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2)))
    turned = pairs * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def by_matrices(x: Tensor, angle: Tensor) -> Tensor:
    """A 2×2 matrix for each position and pair."""
    cos, sin = angle[:, 0].cos(), angle[:, 0].sin()
    matrices = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2)).to(x.dtype)
    pairs = x.unflatten(-1, (-1, 2))
    return torch.einsum("lpij,...lhpj->...lhpi", matrices, pairs).flatten(-2)


def by_swapped_pairs(x: Tensor, angle: Tensor) -> Tensor:
    """x · cos + (−odd, even) · sin, with cosines and sines repeated for both of a pair."""
    cos, sin = (y.repeat_interleave(2, dim=-1).to(x.dtype) for y in (angle.cos(), angle.sin()))
    swapped = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).reshape(x.shape)
    return x * cos + swapped * sin


def halves(x: Tensor, angle: Tensor) -> Tensor:
    """LLaMA's rotate_half: pairs (0, r/2), (1, r/2 + 1), … where neighbours are asked."""
    cos, sin = (torch.cat([y, y], dim=-1).to(x.dtype) for y in (angle.cos(), angle.sin()))
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def evens_then_odds(x: Tensor, angle: Tensor) -> Tensor:
    """The right pairs, their first numbers all before their second ones."""
    turned = by_complex(x, angle)
    return torch.cat([turned[..., 0::2], turned[..., 1::2]], dim=-1)


def of_slow_exponent(x: Tensor, start: int, theta: float, given: Tensor | None = None) -> Tensor:
    """Angles with exponent −i / r for pair i where −2i / r is asked."""
    pairs = torch.arange(x.shape[-1] // 2, dtype=torch.float64)
    slow = theta ** (-pairs / x.shape[-1]) if given is None else given
    return by_complex(x, positions(x, start) * slow)


def table_of(layer, width: int, length: int) -> Tensor:
    """The angle of each of the first `length` positions and pairs, (length, r / 2)."""
    per_position = frequencies(width, layer.theta, layer.angles)
    return torch.outer(torch.arange(length, dtype=torch.float64), per_position)


def turned_by(x: Tensor, angle: Tensor) -> Tensor:
    """x (..., r) turned by angles (..., r / 2)."""
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
