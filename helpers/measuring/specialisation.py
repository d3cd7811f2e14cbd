"""Whether experts specialise: how differently kinds of rows use them, and which tokens each takes.

A row is a token at its place; letters: K = top_k, E = num_experts, N groups.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from helpers.measuring.traffic import relative_load


def spread_between(
    experts: Int[Tensor, "rows K"], groups: Int[Tensor, " rows"], num_experts: int
) -> float:
    """The widest range, over experts, of the relative load that the groups give one expert.

    0 where every group uses the experts alike; E/K at most. Chance alone gives more than 0, and so
    does a router that has learned nothing: compare with both.
    """
    loads = relative_load(experts, groups, int(groups.max()) + 1, num_experts)
    return float((loads.max(dim=0).values - loads.min(dim=0).values).max())


def shuffled(groups: Int[Tensor, " rows"], seed: int = 0) -> Int[Tensor, " rows"]:
    """The same groups dealt to other rows at random: what a spread is by chance alone."""
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    return groups[order]


def in_every_group(
    tokens: Int[Tensor, " rows"], groups: Int[Tensor, " rows"]
) -> Bool[Tensor, " rows"]:
    """Which rows hold a token that every group has: a spread over them is not one of vocabulary."""
    num_groups = int(groups.max()) + 1
    seen = torch.zeros(int(tokens.max()) + 1, num_groups, dtype=torch.bool)
    seen[tokens, groups] = True
    return seen.all(dim=1)[tokens]


def commonest_tokens(
    tokens: Int[Tensor, " rows"], experts: Int[Tensor, " rows"], num_experts: int, count: int = 10
) -> list[list[int]]:
    """For each expert the tokens that it takes more often than any other does, commonest first.

    `experts[r]` is the one expert that row r is counted for: of K, the one with the largest gate.
    """
    taken = torch.zeros(int(tokens.max()) + 1, num_experts, dtype=torch.long)
    taken.index_put_((tokens, experts), torch.ones_like(tokens), accumulate=True)
    most, owner = taken.max(dim=1)
    order = most.argsort(descending=True, stable=True)
    order = order[most[order] > 0]
    return [order[owner[order] == expert][:count].tolist() for expert in range(num_experts)]
