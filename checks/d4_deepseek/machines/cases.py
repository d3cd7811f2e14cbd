"""Tokens of several processes and the experts that they chose."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from checks.grading.seeded import seeded
from helpers.model.llama import SwiGLU

WIDTH = 6


@dataclass(frozen=True)
class Spread:
    """A case: so many tokens in each process, `num_experts` experts, of which `unused` is chosen
    by nobody."""

    tokens: tuple[int, ...]
    num_experts: int
    top_k: int
    unused: int
    seed: int

    def __str__(self) -> str:
        tokens = ", ".join(map(str, self.tokens))
        return (
            f"{len(self.tokens)} processes with {tokens} tokens, num_experts={self.num_experts}, "
            f"top_k={self.top_k}, nobody chooses expert {self.unused}"
        )

    @property
    def processes(self) -> int:
        return len(self.tokens)

    def choices(self, rank: int) -> Tensor:
        """`(T, K)`: different experts per token, in no order, and never the unused one."""
        generator = torch.Generator().manual_seed(self.seed * 8 + rank)
        scores = torch.rand(self.tokens[rank], self.num_experts, generator=generator)
        scores[:, self.unused] = -1.0
        return scores.topk(self.top_k).indices

    def rows(self, rank: int) -> Tensor:
        """`(T, D)`, in float64."""
        generator = torch.Generator().manual_seed(self.seed * 8 + rank + 4)
        shape = self.tokens[rank], WIDTH
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def gates(self, rank: int) -> Tensor:
        """`(T, K)`, in float64; they do not sum to 1, so that none can be taken for another."""
        generator = torch.Generator().manual_seed(self.seed * 8 + rank + 400)
        shape = self.tokens[rank], self.top_k
        return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1

    def experts(self) -> nn.ModuleList:
        """All experts, the same in every process."""
        with seeded(self.seed):
            return nn.ModuleList(SwiGLU(WIDTH, 5) for _ in range(self.num_experts)).double()


def spreads(rng: random.Random, sizes: Sequence[int]) -> list[Spread]:
    """One case per number of processes; of several, one has no token, none as many as another."""
    return [spread(rng, processes, idle=processes > 1) for processes in sizes]


def spread(rng: random.Random, processes: int, *, idle: bool) -> Spread:
    """A case in which one process is `idle`: it has no token."""
    tokens = rng.sample(range(3, 11), processes)
    if idle:
        tokens[rng.randrange(processes)] = 0
    local = rng.choice((2, 3)) if processes > 1 else 5
    num_experts = processes * local
    top_k, unused = rng.choice((2, 3)), rng.randrange(num_experts)
    return Spread(tuple(tokens), num_experts, top_k, unused, rng.randrange(9999))
