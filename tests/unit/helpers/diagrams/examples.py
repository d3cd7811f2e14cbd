"""Every diagram with the least and the most that it takes, made once."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from helpers.diagrams.absorption import expand_or_absorb
from helpers.diagrams.bias_loop import bias_loop
from helpers.diagrams.cache_filling import cache_filling
from helpers.diagrams.devices import devices
from helpers.diagrams.dispatch import dispatch_rows
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.exchanges import exchanges
from helpers.diagrams.groups import groups
from helpers.diagrams.kept_numbers import kept_by
from helpers.diagrams.layers import block, stack
from helpers.diagrams.routing import token_route
from helpers.diagrams.segments import expert_segments, token_segments
from helpers.diagrams.shared_experts import shared_and_routed
from helpers.diagrams.two_part_key import two_part_key
from helpers.model.deepseek_config import DeepSeekConfig

LONG = "counterrevolutionaries"
V3 = DeepSeekConfig.v3()
SMALL = DeepSeekConfig(
    vocab_size=50,
    num_layers=1,
    d_model=8,
    num_heads=1,
    d_head=4,
    d_latent=4,
    d_rope=2,
    num_experts=2,
    top_k=1,
    expert_dim=4,
    num_shared=1,
)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def routed(tokens: int, num_experts: int, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, gates and experts of a random router."""
    probs = random(tokens, num_experts).softmax(-1)
    gates, experts = probs.topk(top_k)
    return probs, gates / gates.sum(-1, keepdim=True), experts


def route(num_experts: int, top_k: int, word: str, step: int) -> Card:
    probs, gates, experts = routed(1, num_experts, top_k)
    return token_route(probs[0], gates[0], experts[0], word, step)


def dispatched(tokens: int, num_experts: int, top_k: int, word: str) -> Card:
    _, gates, experts = routed(tokens, num_experts, top_k)
    return dispatch_rows(gates, experts, num_experts, [word] * tokens)


def shared(num_experts: int, top_k: int, num_shared: int, word: str) -> Card:
    _, gates, experts = routed(1, num_experts, top_k)
    return shared_and_routed(gates[0], experts[0], num_experts, num_shared, word)


def grouped(num_experts: int, num_groups: int, top_groups: int, top_k: int) -> Card:
    scores = 99.0 * random(num_experts)
    strength = scores.reshape(num_groups, -1).topk(2).values.sum(-1)
    kept = scores.reshape(num_groups, -1).clone()
    kept[strength.argsort()[: num_groups - top_groups]] = -torch.inf
    return groups(scores, kept.flatten(), kept.flatten().topk(top_k).indices, num_groups)


def balanced(num_experts: int, top_k: int, size: int) -> Card:
    load = torch.arange(num_experts) * size
    bias = random(num_experts)
    new = bias + 0.001 * (load.double().mean() - load).sign().float()
    return bias_loop(load, bias, new, random(num_experts).sigmoid(), top_k)


def filled(positions: int, d_latent: int, d_rope: int, position: int, word: str) -> Card:
    latent, key = random(positions, d_latent), random(positions, d_rope)
    return cache_filling(latent, key, position, [word] * positions)


def two_parts(heads: int, d: int, r: int, size: float) -> Card:
    return two_part_key(
        size * random(heads, d), random(heads, r), size * random(heads, d), random(r)
    )


def exchanged(tokens: tuple[int, ...], num_experts: int, top_k: int) -> Card:
    chosen = [random(1 + t, num_experts)[:t].topk(top_k).indices for t in tokens]
    return exchanges(chosen, num_experts)


EXAMPLES: dict[str, Callable[[], Card]] = {
    **{f"route, step {step}": (lambda step=step: route(4, 2, "a", step)) for step in (1, 2, 3)},
    "route, least": lambda: route(1, 1, "a", 4),
    "route, most": lambda: route(12, 12, LONG, 4),
    "route, most, step 3": lambda: route(12, 12, LONG, 3),
    "dispatch, least": lambda: dispatched(1, 1, 1, "a"),
    "dispatch, many tokens": lambda: dispatched(8, 8, 1, LONG),
    "dispatch, many choices": lambda: dispatched(4, 8, 3, LONG),
    "dispatch, most rows": lambda: dispatched(6, 8, 2, LONG),
    "shared, least": lambda: shared(1, 1, 1, "a"),
    "shared, most": lambda: shared(16, 8, 4, LONG),
    "shared, V3": lambda: shared(256, 8, 1, LONG),
    "expert segments, least": lambda: expert_segments(1, 1, 2, 1),
    "expert segments, most": lambda: expert_segments(8, 4, 14_336, 8),
    "expert segments, many": lambda: expert_segments(64, 8, 2048, 1),
    "token segments, least": lambda: token_segments(torch.tensor([[0]]), 1, 8, "a"),
    "token segments, most": lambda: token_segments(torch.randint(16, (8, 4)), 16, 8192, LONG),
    "groups, least": lambda: grouped(2, 1, 1, 1),
    "groups, three": lambda: grouped(6, 3, 2, 2),
    "groups, most": lambda: grouped(64, 8, 4, 8),
    "bias, least": lambda: balanced(1, 1, 1),
    "bias, most": lambda: balanced(8, 8, 1_000_000),
    "devices, least": lambda: devices(torch.tensor([1]), 1),
    "devices, most": lambda: devices(torch.arange(256) * 10_000, 16),
    "devices, all equal": lambda: devices(torch.full((8,), 100), 8),
    "exchanges, least": lambda: exchanged((1,), 1, 1),
    "exchanges, one without a token": lambda: exchanged((3, 0), 8, 2),
    "exchanges, most": lambda: exchanged((1, 1, 0, 3), 256, 2),
    "kept, least": lambda: kept_by(1, 1, 1, 1, 2),
    "kept, latent largest": lambda: kept_by(2, 4, 2, 64, 8),
    "kept, V3": lambda: kept_by(128, 128, 8, 512, 64),
    "two parts, least": lambda: two_parts(1, 1, 2, 1.0),
    "two parts, rotary largest": lambda: two_parts(3, 2, 64, 1.0),
    "two parts, V3": lambda: two_parts(128, 128, 64, 10.0),
    "absorption, least": lambda: expand_or_absorb(1, 1, 1, 1),
    "absorption, V3": lambda: expand_or_absorb(128, 128, 512, 131_072),
    "cache, least": lambda: filled(1, 1, 2, 0, "a"),
    "cache, first": lambda: filled(8, 32, 16, 0, "word"),
    "cache, most": lambda: filled(24, 512, 64, 23, LONG),
    "block, least": lambda: block(SMALL, 0),
    "block, dense": lambda: block(V3, 0),
    "block, V3": lambda: block(V3, 60),
    "stack, least": lambda: stack(SMALL, "a"),
    "stack, V2-Lite": lambda: stack(DeepSeekConfig.v2_lite(), "DeepSeek-V2-Lite"),
    "stack, V3": lambda: stack(V3, "DeepSeek-V3"),
}


@cache
def example(name: str) -> Card:
    return EXAMPLES[name]()
