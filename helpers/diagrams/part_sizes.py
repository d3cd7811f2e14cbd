"""The parameters of a DeepSeek's parts, from its configuration alone."""

from dataclasses import dataclass

from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.published import LatentAttention


@dataclass(frozen=True)
class PartSize:
    """All parameters of a part, and those that one token uses."""

    total: int
    active: int

    def times(self, number: int) -> "PartSize":
        return PartSize(number * self.total, number * self.active)

    def plus(self, *others: "PartSize") -> "PartSize":
        return PartSize(
            self.total + sum(other.total for other in others),
            self.active + sum(other.active for other in others),
        )


def plain(parameters: int) -> PartSize:
    """A part that every token uses whole."""
    return PartSize(parameters, parameters)


def attention_size(config: DeepSeekConfig) -> PartSize:
    """The latent attention with its inner norms."""
    attention = LatentAttention(
        config.num_heads,
        d_head=config.d_head,
        d_rope=config.d_rope,
        d_value=config.d_head if config.d_value is None else config.d_value,
        d_latent=config.d_latent,
        q_latent=config.q_latent,
    )
    return plain(attention.parameters(config.d_model))


def ffn_size(config: DeepSeekConfig, layer: int) -> PartSize:
    """The SwiGLU of a dense layer, or router, shared and routed experts of a sparse one."""
    if layer < config.dense_layers:
        return plain(3 * config.d_model * config.dense_dim)
    width = config.d_model // config.num_segments
    expert, used = 3 * width * config.expert_dim, config.top_k * config.num_segments
    always = width * config.num_experts + 3 * config.d_model * config.expert_dim * config.num_shared
    return PartSize(
        always + config.num_experts * expert, always + min(used, config.num_experts) * expert
    )


def block_size(config: DeepSeekConfig, layer: int) -> PartSize:
    """One layer: attention, feed-forward part and the norm before each."""
    return attention_size(config).plus(ffn_size(config, layer), plain(2 * config.d_model))


def prediction_size(config: DeepSeekConfig) -> PartSize:
    """The layer for multi-token prediction; it shares embedding and head with the model."""
    joined = plain(2 * config.d_model**2 + 3 * config.d_model)
    return block_size(config, config.num_layers).plus(joined)
