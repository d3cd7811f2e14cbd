"""The routed batches that the check of D2.3e runs on."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.grading.seeded import seeded
from checks.grading.strided import strided
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class Batch:
    """A routed batch of `rows` sequences of `length` positions, some of them padding."""

    rows: int
    length: int
    num_segments: int
    num_experts: int
    top_k: int
    step: float
    seed: int
    contiguous: bool = True

    def __str__(self) -> str:
        return (
            f"{self.rows} rows of {self.length} positions, num_segments={self.num_segments}, "
            f"num_experts={self.num_experts}, top_k={self.top_k}, step={self.step}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def real(self) -> Tensor:
        """`(B, L)`: every row has padding, behind its tokens, before them or in between."""
        marks = torch.rand(self.rows, self.length, generator=self.generator()) < 0.6
        starts = torch.arange(self.rows)[:, None] % 2
        places = torch.arange(self.length)
        marks |= (places >= starts) & (places < starts + 2)
        marks[:, -1] = starts[:, 0] == 1
        return marks if self.contiguous else strided(marks)

    def layer(self) -> reference.DeepSeekMoE:
        """The course's own layer after a batch in which all padding chose the same experts."""
        width = 4 * self.num_segments
        with seeded(self.seed):
            layer = reference.DeepSeekMoE(
                width, self.num_experts, self.top_k, 3, 1, num_segments=self.num_segments
            )
        rows = self.rows * self.length * self.num_segments
        scores = torch.rand(rows, self.num_experts, generator=self.generator())
        scores += torch.linspace(0, 0.4, self.num_experts)  # uneven, so that few loads are even
        scores[:, -1] -= 2  # nobody chooses the last expert
        layer.last_experts = scores.topk(self.top_k, dim=-1).indices
        padding = ~self.real().reshape(-1).repeat_interleave(self.num_segments)
        layer.last_experts[padding] = torch.arange(self.top_k)
        layer.router.bias.copy_(torch.randn(self.num_experts, generator=self.generator()) / 10)
        return layer


def batches(rng: random.Random) -> list[Batch]:
    """Seven: of any size, with segments, one row, top-1, many experts, a step of 0."""

    def case(**given: Any) -> Batch:
        drawn = {
            "rows": rng.randint(2, 5),
            "length": rng.randint(6, 11),
            "num_segments": 1,
            "num_experts": rng.randint(5, 8),
            "top_k": rng.randint(2, 3),
            "step": rng.choice([0.002, 0.01, 0.05]),  # and never V3's 0.001
            "seed": rng.randrange(10**6),
        }
        return Batch(**{**drawn, **given})

    return [
        case(),
        case(num_segments=2, contiguous=False),
        case(num_segments=3),
        case(rows=1),
        case(top_k=1),
        case(num_experts=11),
        case(step=0.0),
    ]
