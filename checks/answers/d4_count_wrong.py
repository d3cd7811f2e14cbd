"""D4.2b count_parameters, answered with the wrong numbers or the wrong kind of them."""

from dataclasses import replace

from checks.answers.bank import Bank
from checks.answers.d4_count import by_names, idle_in, on_meta, size, used_experts
from helpers.traffic import layers_of

bank = Bank("d4_deepseek")


@bank.wrong("D4.2b")
def buffers_counted(config):
    """The state_dict's tensors: the balancing biases too."""
    model = on_meta(config)
    total = sum(tensor.numel() for tensor in model.state_dict().values())
    return total, total - sum(idle_in(layer, config) for layer in layers_of(model))


@bank.wrong("D4.2b")
def exchanged(config):
    """The active ones first."""
    return by_names(config)[::-1]


@bank.wrong("D4.2b")
def idle_returned(config):
    """The idle ones in place of the active ones."""
    total, active = by_names(config)
    return total, total - active


@bank.wrong("D4.2b")
def numbers_of_v3(config):
    """DeepSeek-V3's numbers, whatever the configuration."""
    return 671_026_404_352, 37_552_282_624


@bank.wrong("D4.2b")
def head_left_out(config):
    """Without the head, as if it were the embedding."""
    head = config.vocab_size * config.d_model
    return tuple(count - head for count in by_names(config))


@bank.wrong("D4.2b")
def norms_left_out(config):
    """Matrices only: the norms' weights are left out."""
    model = on_meta(config)
    norms = sum(p.numel() for p in model.parameters() if p.dim() < 2)
    return tuple(count - norms for count in by_names(config))


@bank.wrong("D4.2b")
def last_norm_left_out(config):
    """Without the norm before the head."""
    return tuple(count - config.d_model for count in by_names(config))


@bank.wrong("D4.2b")
def blocks_only(config):
    """Without embedding, last norm and head."""
    ends = (2 * config.vocab_size + 1) * config.d_model
    return tuple(count - ends for count in by_names(config))


@bank.wrong("D4.2b")
def tensors_counted(config):
    """How many tensors there are, not how many numbers."""
    model = on_meta(config)
    idle = config.num_experts - used_experts(config)
    total = len(list(model.parameters()))
    return total, total - 3 * idle * len(layers_of(model))


@bank.wrong("D4.2b")
def bytes_counted(config):
    """Bytes, of which a number takes four."""
    return tuple(4 * count for count in by_names(config))


@bank.wrong("D4.2b")
def every_module_summed(config):
    """The parameters of every module in the tree, each counted once a level."""
    model = on_meta(config)
    idle = sum(idle_in(layer, config) for layer in layers_of(model))
    total = sum(size(module) for module in model.modules())
    return total, total - idle


@bank.wrong("D4.2b")
def all_by_share(config):
    """K / E of everything is active."""
    total = by_names(config)[0]
    return total, total * used_experts(config) // config.num_experts


@bank.wrong("D4.2b")
def blocks_by_share(config):
    """K / E of whole layers of experts is active, attention and shared experts too."""
    model = on_meta(config)
    blocks = [size(block) for block in model.blocks if hasattr(block.ffn, "router")]
    idle = config.num_experts - used_experts(config)
    return size(model), size(model) - sum(n * idle // config.num_experts for n in blocks)


@bank.wrong("D4.2b")
def shared_by_share(config):
    """K / E of the shared experts is active too."""
    model, (total, active) = on_meta(config), by_names(config)
    shared = sum(size(layer.shared) for layer in layers_of(model))
    idle = config.num_experts - used_experts(config)
    return total, active - shared * idle // config.num_experts


@bank.wrong("D4.2b")
def experts_only(config):
    """The used experts, the shared ones and nothing else are active."""
    model, (total, active) = on_meta(config), by_names(config)
    experts = sum(size(layer.experts) + size(layer.shared) for layer in layers_of(model))
    return total, experts - (total - active)


@bank.wrong("D4.2b")
def all_active(config):
    """Every parameter is active."""
    total = by_names(config)[0]
    return total, total


@bank.wrong("D4.2b")
def experts_as_wide_as_tokens(config):
    """Routed experts counted as if they read the whole token, whatever the segments."""
    width = config.d_model // config.num_segments
    layers = config.num_layers - config.dense_layers
    wider = 3 * (config.d_model - width) * config.expert_dim * layers
    total, active = by_names(config)
    return total + wider * config.num_experts, active + wider * used_experts(config)


@bank.wrong("D4.2b")
def one_layer_more(config):
    """The layer for multi-token prediction is counted as one more block."""
    return by_names(replace(config, num_layers=config.num_layers + 1))


@bank.wrong("D4.2b")
def floats(config):
    """The share of idle experts by a true division: the second number is a float."""
    model = on_meta(config)
    experts = sum(size(layer.experts) for layer in layers_of(model))
    share = (config.num_experts - used_experts(config)) / config.num_experts
    return size(model), size(model) - experts * share


@bank.wrong("D4.2b")
def total_only(config):
    """One number."""
    return by_names(config)[0]


@bank.wrong("D4.2b")
def in_millions(config):
    """Millions, rounded down."""
    return tuple(count // 1_000_000 for count in by_names(config))
