"""How many weights each part has, and what slips in counting them make of it."""

from dataclasses import replace
from typing import Any

from helpers.model.deepseek_config import DeepSeekConfig

RAISED = {  # what is asked where the answer raises an error that reads so
    "'SwiGLU' object(?!.* 'numel')|IndexError: list index|ZeroDivisionError": (
        "Which layers have experts, if any? The `ffn` of a dense one is no more than a SwiGLU."
    ),
    "object has no attribute 'numel'": (
        "Is it a module that is asked for `numel`? Its `parameters()` have it."
    ),
    "Attempting to broadcast|size of tensor": (
        "Are the tensors themselves added up? `.numel()` says how many numbers one has."
    ),
}


def counted_parts(config: DeepSeekConfig) -> dict[str, int]:
    """How many numbers the weights of each kind hold, in all layers together."""
    sparse = config.num_layers - config.dense_layers
    expert = 3 * config.d_model // config.num_segments * config.expert_dim
    return {
        "embedding": config.vocab_size * config.d_model,
        "head": config.vocab_size * config.d_model,
        "norms": (2 * config.num_layers + 1) * config.d_model,
        "attention": config.num_layers * _attention(config),
        "dense": config.dense_layers * 3 * config.d_model * config.dense_dim,
        "router": sparse * config.num_experts * config.d_model // config.num_segments,
        "shared": sparse * config.num_shared * 3 * config.d_model * config.expert_dim,
        "routed": sparse * config.num_experts * expert,
    }


def _attention(config: DeepSeekConfig) -> int:
    """Query path, latent with its norm, rotary key and output of one layer."""
    key = config.d_head + config.d_rope
    value = config.d_head if config.d_value is None else config.d_value
    queries = config.num_heads * key * (config.q_latent or config.d_model)
    if config.q_latent is not None:
        queries += config.d_model * config.q_latent + config.q_latent
    latent = config.d_model * config.d_latent + config.d_latent
    latent += config.d_latent * config.num_heads * (config.d_head + value)
    return (
        queries
        + latent
        + config.d_model * config.d_rope
        + config.num_heads * value * config.d_model
    )


def idle_weights(config: DeepSeekConfig, used: int | None = None) -> int:
    """The numbers in the experts that a token leaves alone, of all layers with experts."""
    if used is None:
        used = min(config.num_experts, config.top_k * config.num_segments)
    one_layer = counted_parts(replace(config, dense_layers=config.num_layers - 1))["routed"]
    sparse = config.num_layers - config.dense_layers
    return sparse * one_layer // config.num_experts * (config.num_experts - used)


def norm_slips(config: DeepSeekConfig, total: int) -> dict[str, int]:
    """What is counted where some weights with one dimension are forgotten."""
    blocks, layers = 2 * config.num_layers * config.d_model, config.num_layers
    latents, queries = layers * config.d_latent, layers * (config.q_latent or 0)
    inside = "Do the norms inside attention count, those of the latents?"
    return {
        "Do the norms of the blocks count, two in each?": total - blocks,
        "Does each block have two norms, and do both count?": total - blocks // 2,
        inside: total - latents - queries,
        "Does kv_norm count, in every layer?": total - latents,
        "Does q_norm count, in every layer?": total - queries,
        "Do all norms count, those inside attention too?": total
        - blocks
        - config.d_model
        - latents
        - queries,
    }


def total_with(config: DeepSeekConfig, **fields: Any) -> int:
    return sum(counted_parts(replace(config, **fields)).values())


def share_slips(config: DeepSeekConfig, active: int) -> dict[str, int]:
    """What is counted where more than the routed experts is taken by the share of those in use."""
    parts, sparse = counted_parts(config), config.num_layers - config.dense_layers
    unused = config.num_experts - min(config.num_experts, config.top_k * config.num_segments)

    def by_share(numbers: int) -> int:
        return active - sparse * (numbers // max(sparse, 1) * unused // config.num_experts)

    blocks = sparse * (_attention(config) + 2 * config.d_model)
    blocks += parts["router"] + parts["shared"]
    return {
        "Is all of the router used, and not the rows of the chosen experts alone?": by_share(
            parts["router"]
        ),
        "Are all shared experts used, and not a share of them?": by_share(parts["shared"]),
        "Are the routed experts alone idle, and not a share of whole layers?": by_share(blocks),
    }
