"""D4.2b count_parameters, answered rightly and wrongly."""

from dataclasses import replace

import torch

from checks.answers.bank import Bank
from helpers.llama import SwiGLU
from helpers.traffic import layers_of
from solutions.d1_moe import ExpertArray
from solutions.d4_deepseek import DeepSeek, DeepSeekBlock

bank = Bank("d4_deepseek")
_USED = ("config.top_k * config.num_segments", "config.num_experts")
_MIN = "used = min({}, {})"
bank.equivalent[("D4.2b", f"{_MIN.format(*_USED)} → {_MIN.format(*_USED[::-1])}")] = (
    "the smaller of two numbers, whichever comes first"
)


def on_meta(config, made=DeepSeek):
    """The model that the exercise gives."""
    with torch.device("meta"):
        return made(config)


def size(module):
    """The parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def used_experts(config):
    """The most experts of a layer that a token uses."""
    return min(config.top_k * config.num_segments, config.num_experts)


def idle_in(layer, config):
    """The parameters that a token leaves alone in a layer of experts."""
    return size(layer.experts[0]) * (config.num_experts - used_experts(config))


def attention_size(c):
    """The parameters of one attention, in closed form."""
    queries = c.num_heads * (c.d_head + c.d_rope)
    asked = c.d_model * queries if c.q_latent is None else c.q_latent * (c.d_model + 1 + queries)
    value = c.d_head if c.d_value is None else c.d_value
    told = c.d_latent * (c.d_model + 1 + c.num_heads * (c.d_head + value))
    return asked + told + c.d_model * (c.d_rope + c.num_heads * value)


@bank.right("D4.2b")
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


@bank.right("D4.2b")
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


@bank.right("D4.2b")
def by_names(config):
    """The expert's number read from the name of each parameter."""
    total = active = 0
    for name, weight in on_meta(config).named_parameters():
        total += weight.numel()
        expert = name.partition("ffn.experts.experts.")[2].partition(".")[0]
        if not expert or int(expert) < used_experts(config):
            active += weight.numel()
    return total, active


@bank.right("D4.2b")
def by_recursion(config):
    """Down the tree of modules, an array of experts counted by its share."""

    def used(module):
        if isinstance(module, ExpertArray):
            return size(module) * used_experts(config) // config.num_experts
        own = sum(p.numel() for p in module.parameters(recurse=False))
        return own + sum(used(child) for child in module.children())

    model = on_meta(config)
    return size(model), used(model)


@bank.right("D4.2b")
def by_two_models(config):
    """A second model with as many experts as are used; its smaller routers made up for."""
    used = used_experts(config)
    total = size(on_meta(config))
    few = on_meta(replace(config, num_experts=used, top_k=1, num_groups=1, top_groups=1))
    row = config.d_model // config.num_segments
    sparse = config.num_layers - config.dense_layers
    return total, size(few) + sparse * row * (config.num_experts - used)


@bank.right("D4.2b")
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


@bank.wrong("D4.2b")
def embedding_left_out(config):
    """The active ones without the input embedding, of which a token reads one row."""
    total, active = by_names(config)
    return total, active - config.vocab_size * config.d_model


@bank.wrong("D4.2b")
def one_row_of_the_embedding(config):
    """Of the embedding only the token's row is active."""
    total, active = by_names(config)
    return total, active - (config.vocab_size - 1) * config.d_model


@bank.wrong("D4.2b")
def shared_left_out(config):
    """The active ones without the shared experts."""
    model, (total, active) = on_meta(config), by_names(config)
    return total, active - sum(size(layer.shared) for layer in layers_of(model))


@bank.wrong("D4.2b")
def router_left_out(config):
    """The active ones without the routers."""
    model, (total, active) = on_meta(config), by_names(config)
    return total, active - sum(size(layer.router) for layer in layers_of(model))


@bank.wrong("D4.2b")
def router_by_share(config):
    """Of the router only the rows of the used experts are active."""
    model, (total, active) = on_meta(config), by_names(config)
    row = config.d_model // config.num_segments
    idle = row * (config.num_experts - used_experts(config))
    return total, active - idle * len(layers_of(model))


@bank.wrong("D4.2b")
def idle_in_dense_layers_too(config):
    """Idle experts of every layer, although the first ones have none."""
    model = on_meta(config)
    with torch.device("meta"):
        layer = DeepSeekBlock(config, config.num_layers).ffn
    return size(model), size(model) - config.num_layers * idle_in(layer, config)


@bank.wrong("D4.2b")
def dense_as_experts(config):
    """All layers counted as layers of experts."""
    return by_names(replace(config, dense_layers=0))


@bank.wrong("D4.2b")
def one_layer_only(config):
    """`idle =` in the loop: the idle experts of the last layer only."""
    model, idle = on_meta(config), 0
    for layer in layers_of(model):
        idle = idle_in(layer, config)
    return size(model), size(model) - idle


@bank.wrong("D4.2b")
def segments_ignored(config):
    """K experts a token, although each of its segments chooses K."""
    return by_names(config)[0], by_names_with(config, config.top_k)


@bank.wrong("D4.2b")
def segments_uncapped(config):
    """m·K experts a token, even where a layer has fewer."""
    return by_names(config)[0], by_names_with(config, config.top_k * config.num_segments)


@bank.wrong("D4.2b")
def segments_divided(config):
    """K / m experts a token, rounded down."""
    return by_names(config)[0], by_names_with(config, config.top_k // config.num_segments)


@bank.wrong("D4.2b")
def used_are_idle(config):
    """The used experts taken off, the idle ones left in."""
    return by_names(config)[0], by_names_with(config, config.num_experts - used_experts(config))


@bank.wrong("D4.2b")
def shared_among_the_chosen(config):
    """Shared experts taken for some of the K."""
    return by_names(config)[0], by_names_with(config, used_experts(config) - config.num_shared)


@bank.wrong("D4.2b")
def one_expert_used(config):
    """One expert a layer, whatever K is."""
    return by_names(config)[0], by_names_with(config, 1)


def by_names_with(config, used):
    """Active parameters if a token used this many experts of a layer."""
    model = on_meta(config)
    idle = config.num_experts - used
    return size(model) - sum(size(layer.experts[0]) * idle for layer in layers_of(model))
