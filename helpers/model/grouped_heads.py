"""Attention whose query heads share keys and values: MHA, GQA and MQA by one number.

Letters: B batch, L positions, D = d_model, H query heads, G key-value heads, d head width.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.model.llama import Decoder, SwiGLU, rotate


class GroupedHeads(nn.Module):
    """Causal attention with RoPE in which `num_heads / kv_heads` query heads share a key and value.

    As many key-value heads as query heads is MHA, one is MQA (arXiv 1911.02150), and between them
    lies GQA (arXiv 2305.13245). A cache would keep 2·G·d numbers per token.
    """

    def __init__(self, d_model: int, num_heads: int, kv_heads: int):
        super().__init__()
        if d_model % num_heads or num_heads % kv_heads:
            raise ValueError(
                f"kv_heads must divide num_heads, and num_heads d_model, "
                f"got {kv_heads}, {num_heads} and {d_model}"
            )
        self.num_heads, self.kv_heads = num_heads, kv_heads
        width = d_model // num_heads
        self.query = nn.Linear(d_model, num_heads * width, bias=False)
        self.key_value = nn.Linear(d_model, 2 * kv_heads * width, bias=False)
        self.out = nn.Linear(num_heads * width, d_model, bias=False)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        q = self.query(x).unflatten(-1, (self.num_heads, -1))
        k, v = self.key_value(x).unflatten(-1, (2, self.kv_heads, -1)).unbind(-3)
        shared = self.num_heads // self.kv_heads
        k, v = (y.repeat_interleave(shared, dim=-2) for y in (rotate(k), v))
        q, k, v = (y.transpose(1, 2) for y in (rotate(q), k, v))  # (B, H, L, d)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(-2))

    @property
    def cached_numbers(self) -> int:
        """The numbers that a cache of keys and values keeps per token."""
        return self.key_value.out_features


class NoAttention(nn.Module):
    """Returns zeros: the control in which no token learns anything of those before it."""

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        return torch.zeros_like(x)


def decoder_with(
    make_attention: Callable[[], nn.Module],
    vocab_size: int,
    *,
    d_model: int,
    num_layers: int,
    num_heads: int,
    expert_dim: int,
) -> Decoder:
    """A small language model with this attention in every layer, of about equal size for each.

    `expert_dim` is the width of the feed-forward part beside MHA's four square matrices; it grows
    by as many whole rows as the attention has fewer parameters than those.
    """
    attentions = [make_attention() for _ in range(num_layers)]
    spared = 4 * d_model**2 - sum(weight.numel() for weight in attentions[0].parameters())
    width = expert_dim + spared // (3 * d_model)
    model = Decoder(vocab_size, d_model, num_layers, num_heads, lambda: SwiGLU(d_model, width))
    for block, attention in zip(model.blocks, attentions, strict=True):
        block.attention = attention
    return model
