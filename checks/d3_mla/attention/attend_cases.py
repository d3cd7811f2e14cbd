"""What the check of attention runs on."""

import random
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.cases import if_narrow
from checks.grading.strided import strided

NAMES = ("q_content", "q_rotary", "k_content", "k_rotary", "values")


@dataclass(frozen=True)
class Attending:
    """One case: the last `length` of the `seen` positions ask."""

    batch: int
    length: int
    seen: int
    num_heads: int
    d_head: int
    d_rope: int
    d_value: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        return (
            f"B={self.batch}, L={self.length}, S={self.seen}, H={self.num_heads}, "
            f"d={self.d_head}, r={self.d_rope}, v={self.d_value}{if_narrow(self.dtype)}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def parts(self) -> dict[str, Tensor]:
        """The five inputs by their names, drawn anew at every call, always the same."""
        batch, length, seen, heads = self.batch, self.length, self.seen, self.num_heads
        shapes = (
            (batch, length, heads, self.d_head),
            (batch, length, heads, self.d_rope),
            (batch, seen, heads, self.d_head),
            (batch, seen, self.d_rope),
            (batch, seen, heads, self.d_value),
        )
        generator = self.generator()
        drawn = [torch.randn(shape, generator=generator, dtype=self.dtype) for shape in shapes]
        if not self.contiguous:
            drawn = [strided(part) for part in drawn]
        return dict(zip(NAMES, drawn, strict=True))


def attendings(rng: random.Random) -> list[Attending]:
    """Seven cases: a whole prompt, chunks, one query, one position, one head, a batch of one."""

    def case(**kind: Any) -> Attending:
        batch, heads = rng.sample(range(2, 5), 2)
        length = rng.choice([n for n in (2, 3, 4) if n not in (batch, heads)])
        seen, d_head, d_rope, d_value = rng.sample(range(5, 11), 4)
        sizes = batch, length, seen, heads, d_head, d_rope, d_value, rng.randrange(10**6)
        made = Attending(*sizes)
        return replace(made, **kind)

    whole = rng.randint(11, 12)
    return [
        case(length=whole, seen=whole),
        case(contiguous=False),
        case(dtype=torch.float32),
        case(length=1),
        case(length=1, seen=1),
        case(num_heads=1),
        case(batch=1, contiguous=False),
    ]
