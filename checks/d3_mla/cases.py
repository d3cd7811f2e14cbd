"""The sizes a check of latent attention runs on, tensors of those sizes, and slow forms to hold
answers against.

Letters as in `solutions/d3_mla.py`: B, L, S, D, H, R = d_latent, d = d_head, r = d_rope,
v = d_value.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from checks.grading import expect
from checks.grading.strided import strided

THETA = 10_000.0
POSITIONS = ("sequence", "position")  # the first dimensions of (B, L, …)
HEADS = (*POSITIONS, "head")
SMALL = 0.1  # times a loss: its slopes stay apart, and float32 inside an answer disturbs none


@dataclass(frozen=True)
class Latent:
    """One case: all sizes differ where they can, so that no two dimensions can be mixed up."""

    batch: int
    length: int
    d_model: int
    num_heads: int
    d_head: int
    d_value: int
    d_latent: int
    d_rope: int
    seed: int
    q_latent: int | None = None
    start: int = 0
    theta: float = THETA
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        sizes = (
            f"x of shape {(self.batch, self.length, self.d_model)}, num_heads={self.num_heads}, "
            f"d_head={self.d_head}, d_value={self.d_value}, d_latent={self.d_latent}, "
            f"d_rope={self.d_rope}, q_latent={self.q_latent}"
        )
        more = [f"start={self.start}"] if self.start else []
        more += [f"theta={self.theta:g}"] if self.theta != THETA else []
        return ", ".join([sizes, *more])

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def draw(self, *shape: int, offset: int = 1) -> Tensor:
        """Standard normal numbers of this shape, other ones for another `offset`."""
        generator = torch.Generator().manual_seed(self.seed + offset)
        return torch.randn(*shape, generator=generator, dtype=self.dtype)

    def x(self) -> Tensor:
        """`(B, L, D)`; not contiguous in a case that says so."""
        x = self.draw(self.batch, self.length, self.d_model, offset=0)
        return x if self.contiguous else strided(x)


def latents(rng: random.Random) -> list[Latent]:
    """Six cases: with and without a query latent, one token, one head with one pair, a batch of
    one with another theta, float32. All but the fifth have two rotary pairs or more.
    """

    def case(length=None, query_latent=None, **kind: Any) -> Latent:
        batch, heads = rng.sample(range(2, 5), 2)
        length = length or rng.randint(5, 8)
        d_rope = rng.choice([width for width in (4, 6, 8) if width not in (batch, heads, length)])
        d_head = rng.choice([width for width in (6, 8, 10) if width not in (length, d_rope)])
        widths = [width for width in range(5, 14) if width not in (length, d_rope, d_head)]
        d_model, d_value, d_latent, q_latent = rng.sample(widths, 4)
        query_latent = rng.random() < 0.5 if query_latent is None else query_latent
        sizes = {
            "batch": batch,
            "length": length,
            "d_model": d_model,
            "num_heads": heads,
            "d_head": d_head,
            "d_value": d_value,
            "d_latent": d_latent,
            "d_rope": d_rope,
            "seed": rng.randrange(10**6),
            "q_latent": q_latent if query_latent else None,
        }
        return Latent(**(sizes | kind))

    return [
        case(query_latent=False),
        case(query_latent=True, contiguous=False),
        case(dtype=torch.float32),
        case(1, query_latent=True),
        case(num_heads=1, d_rope=2, batch=rng.randint(3, 4)),
        case(batch=1, query_latent=True, theta=500.0),
    ]


def randomise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """The module with every weight drawn anew: norms near 1, the rest over sqrt(inputs)."""
    with torch.no_grad():
        for weight in module.parameters():
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            norm = weight.ndim == 1
            weight.copy_(1 + 0.3 * drawn if norm else drawn / math.sqrt(weight.shape[-1]))
    return module


def given_weights(
    module: nn.Module, name: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """The module's weights in float64, once they are those that the given constructor makes."""
    expect.module(module, name)
    held = {key: weight.detach().double() for key, weight in module.named_parameters()}
    for key, shape in shapes.items():
        came = expect.shown(held.get(key)).replace("None", "none")
        expect.require(
            key in held and held[key].shape == shape,
            f"{name} must keep {key} of shape {shape}, as the given constructor makes it, "
            f"got {came}",
        )
    more = next((key for key in held if key not in shapes), None)
    expect.require(
        more is None,
        f"{name} must have the weights of the given constructor and no others, got {more} too",
    )
    return held


def slow_norm(row: list[float], weight: list[float], eps: float = 1e-6) -> list[float]:
    """RMSNorm of one vector."""
    size = math.sqrt(sum(number**2 for number in row) / len(row) + eps)
    return [number / size * scale for number, scale in zip(row, weight, strict=True)]


def slow_latent(x: Tensor, down: Tensor, norm: Tensor) -> Tensor:
    """`(B, L, R)`: every token times `down` (R, D), and the RMSNorm of that."""
    rows = [slow_norm((down @ token).tolist(), norm.tolist()) for token in x.flatten(0, 1)]
    return torch.tensor(rows, dtype=x.dtype).reshape(*x.shape[:2], -1)


def slow_heads(x: Tensor, up: Tensor, num_heads: int, widths: Sequence[int]) -> tuple[Tensor, ...]:
    """One `(B, L, H, width)` for each width: the rows of `up` head by head, part by part."""
    parts = tuple(x.new_zeros(*x.shape[:2], num_heads, width) for width in widths)
    rows = iter(up)
    for head in range(num_heads):
        for part, width in zip(parts, widths, strict=True):
            for i in range(width):
                part[:, :, head, i] = x @ next(rows)
    return parts


def order_slips(
    x: Tensor, up: Tensor, num_heads: int, widths: Sequence[int], names: tuple[str, str, str]
) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """What other orders of the rows of `up` make of `slow_heads`, by the question each calls for.

    `names` are those of the weight and of its two parts.
    """
    weight, first, second = names
    flat = x @ up.T

    def blocks() -> list[Tensor]:
        both = flat.split([num_heads * width for width in widths], dim=-1)
        return [block.unflatten(-1, (num_heads, -1)) for block in both]

    def innermost() -> tuple[Tensor, ...]:
        return flat.unflatten(-1, (-1, num_heads)).transpose(-1, -2).split(list(widths), dim=-1)

    def reshaped() -> tuple[Tensor, ...]:
        rows = flat.reshape(len(x), num_heads, x.shape[1], -1).transpose(1, 2)
        return rows.split(list(widths), dim=-1)

    return {
        f"Are the rows of {weight} per head, {first} then {second}?": lambda: slow_heads(
            x, up, num_heads, widths[::-1]
        )[::-1],
        f"Are the rows of {weight} cut into heads first, and each head into {first} and "
        f"{second}?": blocks,
        f"Do the rows of one head stand next to each other in {weight}?": innermost,
        "Does unflatten cut the last dimension alone, so that positions stay apart?": reshaped,
    }


def slow_rotation(row: Tensor, position: int, theta: float = THETA) -> Tensor:
    """One vector with neighbours (0, 1), (2, 3), … turned by the position's angles.

    Leading dimensions are further vectors of the same position.
    """
    turned, width = row.clone(), row.shape[-1]
    for i in range(0, width, 2):
        angle = position * theta ** (-i / width)
        a, b = row[..., i], row[..., i + 1]
        turned[..., i] = a * math.cos(angle) - b * math.sin(angle)
        turned[..., i + 1] = a * math.sin(angle) + b * math.cos(angle)
    return turned


def slow_turn(x: Tensor, start: int = 0, theta: float = THETA) -> Tensor:
    """`(B, L, …, r)`: the rows of position l turned by the angles of start + l."""
    rows = [slow_rotation(x[:, i], start + i, theta) for i in range(x.shape[1])]
    return torch.stack(rows, dim=1)


def slow_attend(
    q_content: Tensor, q_rotary: Tensor, k_content: Tensor, k_rotary: Tensor, values: Tensor
) -> Tensor:
    """Attention by loops over batch, query and head: `(B, L, H, v)`, causal, the queries last."""
    batch, length, heads, d_head = q_content.shape
    before = k_content.shape[1] - length
    scale = 1 / math.sqrt(d_head + q_rotary.shape[-1])
    out = values.new_zeros(batch, length, heads, values.shape[-1])
    for b in range(batch):
        for i in range(length):
            seen = before + i + 1
            for h in range(heads):
                scores = k_content[b, :seen, h] @ q_content[b, i, h]
                scores = scores + k_rotary[b, :seen] @ q_rotary[b, i, h]
                out[b, i, h] = (scale * scores).softmax(0) @ values[b, :seen, h]
    return out


def rotation_slips(x: Tensor, start: int, theta: float = THETA) -> dict[str, Callable[[], Tensor]]:
    """What slips make of `slow_turn(x, start, theta)`, by the question each calls for."""
    length, width = x.shape[1], x.shape[-1]
    apart = torch.arange(width).unflatten(0, (-1, 2)).T.flatten()  # 0, 2, 4, … 1, 3, 5, …
    paired = apart.argsort()  # 0, r/2, 1, r/2 + 1, …

    def turned(x: Tensor, positions: Sequence[int], theta: float = theta) -> Tensor:
        rows = [slow_rotation(x[:, i], at, theta) for i, at in enumerate(positions)]
        return torch.stack(rows, dim=1)

    right = range(start, start + length)
    return {
        "Is it turned by start + position?": lambda: turned(x, range(length)),
        "Is it turned at all, and every row by its own angle?": lambda: x,
        "Is the first row's position start, and not one more?": lambda: turned(
            x, range(start + 1, start + 1 + length)
        ),
        "Are the pairs neighbours (0, 1), (2, 3), and not halves?": lambda: turned(
            x[..., paired], right
        )[..., apart],
        "Do the two numbers of a pair stay side by side?": lambda: turned(x, right)[..., apart],
        "Is it turned the other way? (a, b) becomes (a cos - b sin, a sin + b cos).": lambda: (
            turned(x, [-at for at in right])
        ),
        "Does theta come from the constructor?": lambda: turned(x, right, THETA),
        "Is every row turned by its own angle, and not the first's?": lambda: turned(
            x, [start] * length
        ),
        "Do the positions run along L, and not along the batch?": lambda: slow_turn(
            x.transpose(0, 1), start, theta
        ).transpose(0, 1),
        "Do the positions run along L, and not along the dimension after it?": lambda: (
            slow_turn(x.transpose(1, 2), start, theta).transpose(1, 2)
            if x.ndim == 4
            else turned(x, right)
        ),
        "Is it turned once?": lambda: turned(turned(x, right), right),
        "Is the angle of pair i position · theta^(-2i / d_rope)?": lambda: turned(
            x, right, theta**0.5
        ),
    }


def pair_lengths(x: Tensor) -> Tensor:
    """`(…, r / 2)`: how long each pair of neighbours is, which no turn changes."""
    return x.unflatten(-1, (-1, 2)).norm(dim=-1)
