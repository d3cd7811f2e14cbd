"""The sizes a check of routing runs on, and tensors of those sizes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.grading import expect
from checks.grading.result import Built
from checks.grading.seeded import seeded
from checks.grading.strided import strided

ROWS = ("tokens", "d_model")  # what the dimensions count
TOKENS = ("sequences", "positions", "d_model")
CHOICES = ("tokens", "top_k")
MOST_TOKENS, MOST_EXPERTS = 1024, 256  # of the usual cases, far more than they have


@dataclass(frozen=True)
class Routing:
    """One case: all sizes differ where they can, so that no two dimensions can be mixed up."""

    tokens: int
    d_model: int
    num_experts: int
    top_k: int
    expert_dim: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        return (
            f"{self.tokens} tokens, d_model={self.d_model}, num_experts={self.num_experts}, "
            f"top_k={self.top_k}, expert_dim={self.expert_dim}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def x(self) -> Tensor:
        """Tokens `(T, D)`; not contiguous in a case that says so."""
        shape = (self.tokens, self.d_model)
        drawn = torch.randn(shape, generator=self.generator(), dtype=self.dtype)
        return drawn if self.contiguous else strided(drawn)

    @property
    def is_large(self) -> bool:
        """Whether it is one of `large`, which only the numbers of an answer are held against."""
        return self.tokens > MOST_TOKENS or self.num_experts > MOST_EXPERTS

    def routing(self, unused: int | None = None) -> tuple[Tensor, Tensor]:
        """Gates `(T, K)` that do not sum to 1, and K different experts per token, in any order."""
        generator = self.generator().manual_seed(self.seed + 1)
        scores = torch.rand(self.tokens, self.num_experts, generator=generator)
        if unused is not None:
            scores[:, unused] = -1
        experts = scores.argsort(dim=-1, descending=True)[:, : self.top_k]
        shape = (self.tokens, self.top_k)
        gates = torch.rand(shape, generator=generator, dtype=self.dtype) + 0.1
        return gates, experts


def routings(rng: random.Random) -> list[Routing]:
    """Six cases: three of any size, one token, top_k = 1, and every expert chosen."""

    def case(tokens=None, num_experts=None, top_k=None, **kind: Any) -> Routing:
        num_experts = num_experts or rng.randint(4, 7)
        top_k = top_k or rng.randint(2, num_experts - 2)
        d_model, expert_dim = rng.sample(range(8, 14), 2)
        tokens = tokens or rng.randint(15, 24)
        seed = rng.randrange(10**6)
        return Routing(tokens, d_model, num_experts, top_k, expert_dim, seed, **kind)

    everyone = rng.randint(3, 5)
    return [
        case(),
        case(contiguous=False),
        case(dtype=torch.float32),
        case(tokens=1),
        case(top_k=1),
        case(num_experts=everyone, top_k=everyone),
    ]


def large(rng: random.Random) -> list[Routing]:
    """Two cases that outgrow a narrow number: over 2,048 choices, and more than 256 experts."""
    kind: dict[str, Any] = {"top_k": 2, "expert_dim": 9, "dtype": torch.float32}
    many_experts = MOST_EXPERTS + rng.randint(14, 64)

    def of_many_tokens() -> Routing:
        many_tokens = MOST_TOKENS + rng.randint(80, 180)
        return Routing(many_tokens, 8, rng.randint(3, 4), seed=rng.randrange(10**6), **kind)

    return [
        next(case for case in iter(of_many_tokens, None) if _outgrows_bfloat16(case)),
        Routing(rng.randint(100, 120), 8, many_experts, seed=rng.randrange(10**6), **kind),
    ]


def _outgrows_bfloat16(case: Routing) -> bool:
    """Whether bfloat16 is 2 off the first expert's load, so that all runs behind it shift."""
    load = (case.routing()[1] == 0).sum()
    return abs(int(load.bfloat16()) - int(load)) >= 2


class CountingExpert(nn.Linear):
    """An expert that is not linear and counts its calls and their rows."""

    calls = rows = 0

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        self.rows += rows
        self.calls += rows > 0
        return F.silu(super().forward(x)) + 0.3


class CountingExperts(nn.Module):
    """An expert array of the check's own, laid out as D1.2's constructor is given."""

    def __init__(self, case: Routing):
        super().__init__()
        sizes = case.d_model, case.d_model
        with seeded(case.seed):
            self.counting = [CountingExpert(*sizes) for _ in range(case.num_experts)]
        self.experts = nn.ModuleList(self.counting)
        self.to(case.dtype)

    def __len__(self) -> int:
        return len(self.experts)

    def __getitem__(self, i: int) -> CountingExpert:
        return self.counting[i]


def dense_gates(gates: Tensor, experts: Tensor, num_experts: int) -> Tensor:
    """`(T, E)`: each expert's gate for each token, zero where it was not chosen."""
    return torch.zeros(len(gates), num_experts, dtype=gates.dtype).scatter_add(1, experts, gates)


def reached(y: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """For each number in `weights`, one after the other, whether a gradient of `y` reaches it.

    Raises Wrong if none leaves `y`.
    """
    ask = "Is there a `detach` or `no_grad` on the way, or are the weights frozen?"
    expect.require(y.requires_grad, "a gradient must go from the output to the weights", ask)
    grads = torch.autograd.grad(y.sum(), weights, allow_unused=True, retain_graph=True)
    return torch.cat(
        [
            torch.zeros(weight.numel(), dtype=torch.bool) if grad is None else grad.flatten() != 0
            for weight, grad in zip(weights, grads, strict=True)
        ]
    )


def spoil(array: Built, i: int, x: Tensor) -> None:
    """NaN in every number with which expert i computes x, however the array holds its weights."""
    weights = list(array.parameters())
    numbers = nn.utils.parameters_to_vector(weights).detach()
    numbers[reached(array[i](x), weights)] = torch.nan
    nn.utils.vector_to_parameters(numbers, weights)


class Experts(Protocol):
    """Experts by their number."""

    def __getitem__(self, i: int) -> Callable[[Tensor], Tensor]: ...


def slow_combination(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    """The specification of dispatch and combination: one token and one choice at a time."""
    rows = []
    for t in range(len(x)):
        outs = [
            gate * array[int(i)](x[t : t + 1])[0]
            for gate, i in zip(gates[t], experts[t], strict=True)
        ]
        rows.append(sum(outs[1:], outs[0]))
    return torch.stack(rows)
