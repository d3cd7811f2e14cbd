"""A trained attention whose keys and values pass through latents, beside the one it came from.

Letters: B batch, L positions, D = d_model, H heads, W = heads·width = D.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.model.llama import CausalSelfAttention, Decoder, rotate


@runtime_checkable
class Latents(Protocol):
    """Projections of `(B, L, D)` to two latents, and of these to keys and values.

    `up` returns two `(B, L, heads, width)`; how they are cut into heads does not matter here.
    """

    def down(self, x: Tensor, /) -> tuple[Tensor, ...]: ...

    def up(self, k: Tensor, v: Tensor, /) -> tuple[Tensor, ...]: ...


def key_and_value_weights(
    attention: CausalSelfAttention,
) -> tuple[Float[Tensor, "D D"], Float[Tensor, "D D"]]:
    """A copy of the key and value weights of all heads, as `nn.Linear` holds them."""
    _, keys, values = attention.qkv.weight.detach().clone().chunk(3)
    return keys, values


@torch.no_grad()
def attention_inputs(model: Decoder, ids: Int[Tensor, "B L"]) -> list[Float[Tensor, "B L D"]]:
    """What the attention of each layer receives: the normed residual stream."""
    x, inputs = model.embed(ids), []
    for block in model.blocks:
        inputs.append(block.attention_norm(x))
        x = block(x)
    return inputs


@torch.no_grad()
def standard_output(
    attention: CausalSelfAttention, x: Float[Tensor, "B L D"]
) -> Float[Tensor, "B L D"]:
    """What the attention returns with its own keys and values."""
    return attention(x)


@torch.no_grad()
def converted_output(
    attention: CausalSelfAttention, x: Float[Tensor, "B L D"], latents: Latents
) -> Float[Tensor, "B L D"]:
    """What the attention returns with keys and values that went through `latents`."""
    return ConvertedAttention(attention, latents)(x)


@torch.no_grad()
def uniform_attention(
    attention: CausalSelfAttention, x: Float[Tensor, "B L D"]
) -> Float[Tensor, "B L D"]:
    """What the attention returns if each token attends evenly to itself and all before it."""
    values = attention.qkv(x).chunk(3, dim=-1)[-1]
    seen = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).unsqueeze(-1)
    return attention.out(values.cumsum(dim=1) / seen)


@torch.no_grad()
def attention_maps(
    attention: CausalSelfAttention, x: Float[Tensor, "B L D"]
) -> Float[Tensor, "B H L L"]:
    """The weights of each head: row i is what position i attends to, and sums to 1."""
    q, k, _ = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).unbind(-3)
    scores = torch.einsum("blhd,bshd->bhls", rotate(q), rotate(k)) / math.sqrt(q.shape[-1])
    later = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(dim=-1)


def mean_output(
    outputs_on_training_text: Float[Tensor, "*tokens D"], want: Float[Tensor, "*batch D"]
) -> Float[Tensor, "*batch D"]:
    """One and the same vector for every token of `want`: the mean output on training text."""
    return outputs_on_training_text.flatten(0, -2).mean(dim=0).expand_as(want)


@dataclass(frozen=True)
class Agreement:
    """How similar two outputs are: the cosine of each token's two vectors, over all tokens."""

    mean: float
    fifth_percentile: float  # a twentieth of the tokens lie below


def agreement(got: Float[Tensor, "*batch D"], want: Float[Tensor, "..."]) -> Agreement:
    """The mean and the fifth percentile of the cosine between `got` and `want`, token by token."""
    if got.shape != want.shape:
        raise ValueError(
            f"got must have the shape of want, {tuple(want.shape)}, got {tuple(got.shape)}"
        )
    cosine = F.cosine_similarity(got, want, dim=-1).flatten()
    return Agreement(cosine.mean().item(), cosine.quantile(0.05).item())


class ConvertedAttention(nn.Module):
    """An attention, called like the one it came from, whose keys and values go through `latents`.

    It holds copies of both, which can be trained further. RoPE rotates the keys after they are
    expanded: a cache would hold the latents, and each step would have to expand them all, since a
    rotation stands between the query and the up-projection that would be absorbed.
    """

    def __init__(self, attention: CausalSelfAttention, latents: Latents):
        super().__init__()
        query_weight = attention.qkv.weight.detach().chunk(3)[0]
        self.num_heads = attention.num_heads
        width, d_model = query_weight.shape
        self.query = nn.Linear(d_model, width, bias=False).to(query_weight)
        self.query.load_state_dict({"weight": query_weight})
        self.latents = copy.deepcopy(latents)
        self.out = copy.deepcopy(attention.out)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        keys, values = self.latents.up(*self.latents.down(x))
        parts = self.query(x), keys.flatten(-2), values.flatten(-2)
        q, k, v = (y.unflatten(-1, (self.num_heads, -1)) for y in parts)
        q, k, v = (y.transpose(1, 2) for y in (rotate(q), rotate(k), v))  # (B, H, L, d)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(-2))


def converted_model(model: Decoder, latents_per_layer: Sequence[Latents]) -> Decoder:
    """A copy of `model` in which the attention of layer i goes through `latents_per_layer[i]`."""
    if len(latents_per_layer) != len(model.blocks):
        raise ValueError(
            f"latents_per_layer must have one for each of the {len(model.blocks)} layers, "
            f"got {len(latents_per_layer)}"
        )
    made = copy.deepcopy(model)
    for block, latents in zip(made.blocks, latents_per_layer, strict=True):
        block.attention = ConvertedAttention(block.attention, latents)
    return made
