"""Right answers to D4.2b count_parameters."""

from dataclasses import replace

import torch

from checks.audit.answers import right
from checks.audit.bank.d4_deepseek.count_parameters.steps import (
    idle_in,
    on_meta,
    size,
    used_experts,
)
from helpers.model.llama import SwiGLU
from solutions.d1_moe import ExpertArray
from solutions.d4_deepseek import DeepSeek, DeepSeekBlock

EQUIVALENT_MUTANTS = {
    (
        "used = min(config.top_k * config.num_segments, config.num_experts) → "
        "used = min(config.num_experts, config.top_k * config.num_segments)"
    ): "the smaller of two numbers, whichever comes first",
}


def attention_size(c):
    """The parameters of one attention, in closed form."""
    queries = c.num_heads * (c.d_head + c.d_rope)
    asked = c.d_model * queries if c.q_latent is None else c.q_latent * (c.d_model + 1 + queries)
    value = c.d_head if c.d_value is None else c.d_value
    told = c.d_latent * (c.d_model + 1 + c.num_heads * (c.d_head + value))
    return asked + told + c.d_model * (c.d_rope + c.num_heads * value)


@right
def by_formula(config):
    """No model: a closed formula of the configuration."""
    c, width = config, config.d_model // config.num_segments
    expert = 3 * width * c.expert_dim
    routed = width * c.num_experts + 3 * c.d_model * c.expert_dim * c.num_shared
    sparse = c.num_layers - c.dense_layers
    rest = c.num_layers * (attention_size(c) + 2 * c.d_model) + c.d_model
    rest += 2 * c.vocab_size * c.d_model + c.dense_layers * 3 * c.d_model * c.dense_dim
    rest += sparse * routed
    used = min(c.num_experts, c.num_segments * c.top_k)
    return rest + sparse * c.num_experts * expert, rest + sparse * used * expert


@right
def by_small_or_meta(config):
    """A small model made for real, a large one on the meta device."""
    is_small = config.num_layers * config.num_experts * config.d_model < 10_000
    with torch.device("cpu" if is_small else "meta"):
        model = DeepSeek(config)
    total = idle = 0
    for weight in model.parameters():
        total += weight.nelement()
    for block in model.blocks:
        if hasattr(block.ffn, "router"):
            idle += sum(size(expert) for expert in list(block.ffn.experts)[used_experts(config) :])
    return total, total - idle


@right
def by_names(config):
    """The expert's number read from the name of each parameter."""
    total = active = 0
    for name, weight in on_meta(config).named_parameters():
        total += weight.numel()
        expert = name.partition("ffn.experts.experts.")[2].partition(".")[0]
        if not expert or int(expert) < used_experts(config):
            active += weight.numel()
    return total, active


@right
def by_recursion(config):
    """Down the tree of modules, an array of experts counted by its share."""

    def used(module):
        if isinstance(module, ExpertArray):
            return size(module) * used_experts(config) // config.num_experts
        own = sum(p.numel() for p in module.parameters(recurse=False))
        return own + sum(used(child) for child in module.children())

    model = on_meta(config)
    return size(model), used(model)


@right
def by_two_models(config):
    """A second model with as many experts as are used; its smaller routers made up for."""
    used = used_experts(config)
    total = size(on_meta(config))
    few = on_meta(replace(config, num_experts=used, top_k=1, num_groups=1, top_groups=1))
    row = config.d_model // config.num_segments
    sparse = config.num_layers - config.dense_layers
    return total, size(few) + sparse * row * (config.num_experts - used)


@right
def by_kind_of_layer(config):
    """One layer of each kind made, times how many there are."""
    total = active = 2 * config.vocab_size * config.d_model + config.d_model
    dense = config.dense_layers
    for layer, count in ((0, dense), (dense, config.num_layers - dense)):
        if count:
            block = on_meta(config, lambda c, layer=layer: DeepSeekBlock(c, layer))
            idle = 0 if isinstance(block.ffn, SwiGLU) else idle_in(block.ffn, config)
            total, active = total + count * size(block), active + count * (size(block) - idle)
    return total, active
