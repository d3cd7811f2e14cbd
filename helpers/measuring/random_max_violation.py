"""The MaxVio that uniform random routing shows: even then, some expert is the busiest."""

from functools import cache

import torch

from helpers.measuring.random_routing import chance_cv

_MOST_DRAWS, _LEAST_DRAWS = 200, 20
_NUMBERS = 40_000_000  # random numbers in all, about a second


@cache
def chance_max_violation(num_experts: int, top_k: int, tokens: int) -> float:
    """The mean of `max(load) / mean(load) - 1` when each token picks `top_k` experts at random.

    Simulated with a fixed seed: up to 200 batches of `tokens` tokens, fewer where they are large.
    """
    chance_cv(num_experts, top_k, tokens)  # raises for sizes that cannot be
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _NUMBERS // (tokens * num_experts)))
    generator = torch.Generator().manual_seed(0)
    busiest = []
    for _ in range(draws):
        chosen = torch.rand(tokens, num_experts, generator=generator).topk(top_k).indices
        busiest.append(int(torch.bincount(chosen.flatten()).max()))
    return sum(busiest) / draws * num_experts / (top_k * tokens) - 1
