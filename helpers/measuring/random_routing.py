"""What uniform random routing does to expert load: the floor under every measured imbalance.

A router that picks K of E experts for each token, all sets equally likely, sends each expert
Binomial(T, K/E) of T tokens: on average the even share, K·T/E, and hardly ever exactly that.
"""

import math


def chance_cv(num_experts: int, top_k: int, tokens: int) -> float:
    """The load's coefficient of variation under uniform random routing, `sqrt((1-K/E)/(K·T/E))`."""
    share = _share(num_experts, top_k, tokens)
    return math.sqrt((1 - share) / (share * tokens))


def chance_band(num_experts: int, top_k: int, tokens: int, z: float = 2.0) -> tuple[float, float]:
    """The even share minus and plus `z` standard deviations of one expert's load, in tokens.

    At `z` = 2, about 1 expert in 20 falls outside by chance.
    """
    share = _share(num_experts, top_k, tokens)
    if not (z > 0 and math.isfinite(z)):
        raise ValueError(f"z must be a positive number of standard deviations, got {z}")
    mean, deviation = share * tokens, math.sqrt(tokens * share * (1 - share))
    return max(0.0, mean - z * deviation), min(float(tokens), mean + z * deviation)


def _share(num_experts: int, top_k: int, tokens: int) -> float:
    if num_experts < 1:
        raise ValueError(f"num_experts must be at least 1, got {num_experts}")
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"top_k must be between 1 and num_experts={num_experts}, got {top_k}")
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    return top_k / num_experts
