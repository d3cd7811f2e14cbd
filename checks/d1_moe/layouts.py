"""A layer with experts whose weights have other names and shapes, read by their sizes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.d1_moe.cases import Routing


@dataclass(frozen=True)
class Reading:
    """One way to read a layer's parameters: the router's `(E, D)` and three of `(E, F, D)`."""

    router: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor

    def route(self, x: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
        """Gates and experts `(T, K)` of the plan's router."""
        gates, experts = (x @ self.router.T).softmax(-1).topk(top_k, dim=-1)
        return gates / gates.sum(-1, keepdim=True), experts

    def __getitem__(self, i: int) -> Callable[[Tensor], Tensor]:
        gate, up, down = self.gate[i], self.up[i], self.down[i]
        return lambda x: (F.silu(x @ gate.T) * (x @ up.T)) @ down


def readings(layer: nn.Module, case: Routing) -> Iterator[Reading]:
    """Every reading that the sizes allow; none where they do not tell the weights apart.

    Known are fused tensors with their dimensions in any order, the first two in one tensor, and
    lists with a matrix for each expert.
    """
    routers, fused = [], []
    size = case.d_model * case.num_experts * case.expert_dim
    weights: list[Tensor] = list(layer.parameters())
    singles = [w for w in weights if w.numel() * case.num_experts == size and w.ndim == 2]
    for i in range(0, len(singles), case.num_experts):
        run = singles[i : i + case.num_experts]
        weights += [torch.stack(run)] if len({w.shape for w in run}) == 1 else []
    for weight in weights:
        if weight.numel() == case.d_model * case.num_experts and weight.ndim == 2:
            routers.append(weight if len(weight) == case.num_experts else weight.T)
        elif weight.numel() == size:
            fused += _turned(weight, case, case.expert_dim)
        elif weight.numel() == 2 * size:
            fused += [
                half
                for whole in _turned(weight, case, 2 * case.expert_dim)
                for half in whole.chunk(2, dim=1)
            ]
    if len(routers) == 1 and len(fused) == 3:
        for three in permutations(fused):
            yield Reading(routers[0], *three)


def _turned(weight: Tensor, case: Routing, width: int) -> list[Tensor]:
    """The weight as `(E, width, D)`, if its dimensions are these three in some order."""
    sizes = case.num_experts, width, case.d_model
    if weight.ndim == 2:
        rows = weight if weight.shape[1] == case.d_model else weight.T
        return [rows.unflatten(0, sizes[:2])] if rows.shape[1] == case.d_model else []
    if sorted(weight.shape) != sorted(sizes):
        return []
    return [weight.permute([list(weight.shape).index(size) for size in sizes])]
