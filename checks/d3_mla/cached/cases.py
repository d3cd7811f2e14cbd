"""What the check of the latent cache appends, and what must not fit."""

import random
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from checks.grading.strided import strided


@dataclass(frozen=True)
class Cached:
    """One case: `lengths` positions are appended, one after the other; `spare` fit beside them."""

    batch: int
    widths: tuple[int, ...]
    lengths: tuple[int, ...]
    spare: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    learnable: bool = False

    def __str__(self) -> str:
        return (
            f"LatentCache({self.batch}, {self.capacity}, {', '.join(map(str, self.widths))}), "
            f"appended {self.lengths} positions"
        )

    @property
    def capacity(self) -> int:
        return sum(self.lengths) + self.spare

    def nbytes(self, size: int) -> int:
        """Those of the whole buffers, for numbers of `size` bytes."""
        return self.batch * self.capacity * sum(self.widths) * size

    def appends(self, seen: int) -> int:
        """How many appends bring so many positions; 0 if none ends there."""
        ends = list(accumulate(self.lengths))
        return ends.index(seen) + 1 if seen in ends else 0

    def parts(self, length: int, offset: int = 0, batch: int | None = None) -> list[Tensor]:
        """`(B, length, width)` for each width; other numbers for another offset."""
        generator = torch.Generator().manual_seed(self.seed + 100 * offset)
        shapes = [(batch or self.batch, length, width) for width in self.widths]
        drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        drawn = [part.to(self.dtype) for part in drawn]
        if not self.contiguous:
            drawn = [strided(part) for part in drawn]
        return [part.requires_grad_() for part in drawn] if self.learnable else drawn

    def turns(self, offset: int = 0) -> list[list[Tensor]]:
        """The parts of each append."""
        return [self.parts(length, offset + i) for i, length in enumerate(self.lengths)]


def caches(rng: random.Random) -> list[Cached]:
    """Five cases: one to three parts, a prefill or one token first, a batch of one, no room left,
    three types, parts that carry a gradient.
    """

    def case(count: int, *lengths: int, **kind: Any) -> Cached:
        widths = tuple(rng.sample(range(5, 12), count))
        batch, spare = rng.randint(2, 3), rng.randint(2, 4)
        drawn = Cached(batch, widths, lengths, spare, rng.randrange(10**6))
        return replace(drawn, **kind)

    few, more = rng.sample(range(2, 6), 2)
    width = rng.randint(5, 9)
    return [
        case(2, few, 1, more),
        case(3, more, 1, few, dtype=torch.float32, contiguous=False),
        case(2, 1, few, 1, batch=1, learnable=True, spare=0),
        case(1, few, 1, 1, more, spare=1),
        case(2, more, 1, few, widths=(width, width), dtype=torch.bfloat16),
    ]


def misfits(case: Cached, length: int) -> dict[str, list[Tensor]]:
    """Parts that do not fit, each with its description."""
    parts = case.parts(length, 40)
    found = {f"a batch of {n} in one of {case.batch}": case.parts(length, 40, n) for n in (4, 1)}
    found.pop(f"a batch of {case.batch} in one of {case.batch}", None)
    for i, part in enumerate(parts):
        for other in (part[..., :1], part[..., :-1], torch.cat([part, part], -1)):
            swapped = [*parts[:i], other, *parts[i + 1 :]]
            found[f"part {i} of width {other.shape[-1]} for {case.widths[i]}"] = swapped
    headed = [part[:, :, None] for part in parts]
    found["parts with a dimension for heads, of shape (batch, L, 1, width)"] = headed
    found["parts without positions, of shape (batch, width)"] = [part[:, 0] for part in parts]
    found[f"{len(parts) + 1} parts for {len(parts)} widths"] = [*parts, parts[-1]]
    if len(parts) > 1:
        found[f"{len(parts) - 1} parts for {len(parts)} widths"] = parts[:-1]
        found["parts of different lengths"] = [*parts[:-1], parts[-1][:, :1]]
    return found
