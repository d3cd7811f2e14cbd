"""Wrong answers to D4.2b count_parameters: the wrong numbers, or the wrong kind of them."""

from dataclasses import replace

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.count_parameters.right import by_names
from checks.audit.bank.d4_deepseek.count_parameters.steps import (
    idle_in,
    on_meta,
    size,
    used_experts,
)
from helpers.measuring.traffic import layers_of
from solutions.d4_deepseek import DeepSeekBlock


@wrong
def embedding_left_out(config):
    """The active ones without the input embedding, of which a token reads one row."""
    total, active = by_names(config)
    return total, active - config.vocab_size * config.d_model


@wrong
def one_row_of_the_embedding(config):
    """Of the embedding only the token's row is active."""
    total, active = by_names(config)
    return total, active - (config.vocab_size - 1) * config.d_model


@wrong
def shared_left_out(config):
    """The active ones without the shared experts."""
    model, (total, active) = on_meta(config), by_names(config)
    return total, active - sum(size(layer.shared) for layer in layers_of(model))


@wrong
def router_left_out(config):
    """The active ones without the routers."""
    model, (total, active) = on_meta(config), by_names(config)
    return total, active - sum(size(layer.router) for layer in layers_of(model))


@wrong
def router_by_share(config):
    """Of the router only the rows of the used experts are active."""
    model, (total, active) = on_meta(config), by_names(config)
    row = config.d_model // config.num_segments
    idle = row * (config.num_experts - used_experts(config))
    return total, active - idle * len(layers_of(model))


@wrong
def idle_in_dense_layers_too(config):
    """Idle experts of every layer, although the first ones have none."""
    model = on_meta(config)
    with torch.device("meta"):
        layer = DeepSeekBlock(config, config.num_layers).ffn
    return size(model), size(model) - config.num_layers * idle_in(layer, config)


@wrong
def dense_as_experts(config):
    """All layers counted as layers of experts."""
    return by_names(replace(config, dense_layers=0))


@wrong
def one_layer_only(config):
    """`idle =` in the loop: the idle experts of the last layer only."""
    model, idle = on_meta(config), 0
    for layer in layers_of(model):
        idle = idle_in(layer, config)
    return size(model), size(model) - idle


@wrong
def segments_ignored(config):
    """K experts a token, although each of its segments chooses K."""
    return by_names(config)[0], by_names_with(config, config.top_k)


@wrong
def segments_uncapped(config):
    """m·K experts a token, even where a layer has fewer."""
    return by_names(config)[0], by_names_with(config, config.top_k * config.num_segments)


@wrong
def segments_divided(config):
    """K / m experts a token, rounded down."""
    return by_names(config)[0], by_names_with(config, config.top_k // config.num_segments)


@wrong
def used_are_idle(config):
    """The used experts taken off, the idle ones left in."""
    return by_names(config)[0], by_names_with(config, config.num_experts - used_experts(config))


@wrong
def shared_among_the_chosen(config):
    """Shared experts taken for some of the K."""
    return by_names(config)[0], by_names_with(config, used_experts(config) - config.num_shared)


@wrong
def one_expert_used(config):
    """One expert a layer, whatever K is."""
    return by_names(config)[0], by_names_with(config, 1)


@wrong
def buffers_counted(config):
    """The state_dict's tensors: the balancing biases too."""
    model = on_meta(config)
    total = sum(tensor.numel() for tensor in model.state_dict().values())
    return total, total - sum(idle_in(layer, config) for layer in layers_of(model))


@wrong
def exchanged(config):
    """The active ones first."""
    return by_names(config)[::-1]


@wrong
def idle_returned(config):
    """The idle ones in place of the active ones."""
    total, active = by_names(config)
    return total, total - active


@wrong
def numbers_of_v3(config):
    """DeepSeek-V3's numbers, whatever the configuration."""
    return 671_026_404_352, 37_552_282_624


@wrong
def head_left_out(config):
    """Without the head, as if it were the embedding."""
    head = config.vocab_size * config.d_model
    return tuple(count - head for count in by_names(config))


@wrong
def norms_left_out(config):
    """Matrices only: the norms' weights are left out."""
    model = on_meta(config)
    norms = sum(p.numel() for p in model.parameters() if p.dim() < 2)
    return tuple(count - norms for count in by_names(config))


@wrong
def last_norm_left_out(config):
    """Without the norm before the head."""
    return tuple(count - config.d_model for count in by_names(config))


@wrong
def blocks_only(config):
    """Without embedding, last norm and head."""
    ends = (2 * config.vocab_size + 1) * config.d_model
    return tuple(count - ends for count in by_names(config))


@wrong
def tensors_counted(config):
    """How many tensors there are, not how many numbers."""
    model = on_meta(config)
    idle = config.num_experts - used_experts(config)
    total = len(list(model.parameters()))
    return total, total - 3 * idle * len(layers_of(model))


@wrong
def bytes_counted(config):
    """Bytes, of which a number takes four."""
    return tuple(4 * count for count in by_names(config))


@wrong
def every_module_summed(config):
    """The parameters of every module in the tree, each counted once a level."""
    model = on_meta(config)
    idle = sum(idle_in(layer, config) for layer in layers_of(model))
    total = sum(size(module) for module in model.modules())
    return total, total - idle


@wrong
def all_by_share(config):
    """K / E of everything is active."""
    total = by_names(config)[0]
    return total, total * used_experts(config) // config.num_experts


@wrong
def blocks_by_share(config):
    """K / E of whole layers of experts is active, attention and shared experts too."""
    model = on_meta(config)
    blocks = [size(block) for block in model.blocks if hasattr(block.ffn, "router")]
    idle = config.num_experts - used_experts(config)
    return size(model), size(model) - sum(n * idle // config.num_experts for n in blocks)


@wrong
def shared_by_share(config):
    """K / E of the shared experts is active too."""
    model, (total, active) = on_meta(config), by_names(config)
    shared = sum(size(layer.shared) for layer in layers_of(model))
    idle = config.num_experts - used_experts(config)
    return total, active - shared * idle // config.num_experts


@wrong
def experts_only(config):
    """The used experts, the shared ones and nothing else are active."""
    model, (total, active) = on_meta(config), by_names(config)
    experts = sum(size(layer.experts) + size(layer.shared) for layer in layers_of(model))
    return total, experts - (total - active)


@wrong
def all_active(config):
    """Every parameter is active."""
    total = by_names(config)[0]
    return total, total


@wrong
def experts_as_wide_as_tokens(config):
    """Routed experts counted as if they read the whole token, whatever the segments."""
    width = config.d_model // config.num_segments
    layers = config.num_layers - config.dense_layers
    wider = 3 * (config.d_model - width) * config.expert_dim * layers
    total, active = by_names(config)
    return total + wider * config.num_experts, active + wider * used_experts(config)


@wrong
def one_layer_more(config):
    """The layer for multi-token prediction is counted as one more block."""
    return by_names(replace(config, num_layers=config.num_layers + 1))


@wrong
def floats(config):
    """The share of idle experts by a true division: the second number is a float."""
    model = on_meta(config)
    experts = sum(size(layer.experts) for layer in layers_of(model))
    share = (config.num_experts - used_experts(config)) / config.num_experts
    return size(model), size(model) - experts * share


@wrong
def total_only(config):
    """One number."""
    return by_names(config)[0]


@wrong
def in_millions(config):
    """Millions, rounded down."""
    return tuple(count // 1_000_000 for count in by_names(config))


def by_names_with(config, used):
    """Active parameters if a token used this many experts of a layer."""
    model = on_meta(config)
    idle = config.num_experts - used
    return size(model) - sum(size(layer.experts[0]) * idle for layer in layers_of(model))


@wrong
def summed_as_float32(config):
    """Counts summed in float32, which holds no odd number above 2**24."""
    total, active = by_names(config)
    return tuple(int(torch.tensor(count, dtype=torch.float32)) for count in (total, active))


@wrong
def bounded_by_groups(config):
    """A token uses no more experts than its groups have, although each segment has its own."""
    total, _ = by_names(config)
    in_groups = config.num_experts // config.num_groups * config.top_groups
    return total, by_names_with(config, min(used_experts(config), in_groups))
