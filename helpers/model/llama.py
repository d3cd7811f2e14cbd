"""LLaMA's parts, which the course uses and does not teach.

Letters: B batch, L positions, T = B·L tokens, D = d_model, F = expert_dim, H heads, V vocabulary.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class SwiGLU(nn.Module):
    """LLaMA's feed-forward network: `down(silu(gate(x)) * up(x))` (arXiv 2002.05202)."""

    def __init__(self, d_model: int, expert_dim: int):
        super().__init__()
        self.gate = nn.Linear(d_model, expert_dim, bias=False)
        self.up = nn.Linear(d_model, expert_dim, bias=False)
        self.down = nn.Linear(expert_dim, d_model, bias=False)

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        if not torch.is_grad_enabled():
            return self.down(F.silu(self.gate(x)) * self.up(x))
        both = torch.cat([self.gate.weight, self.up.weight])  # one product, and one each way back
        gate, up = F.linear(x, both).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class RMSNorm(nn.Module):
    """The input divided by its root mean square, times a learned weight."""

    def __init__(self, d_model: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotate(
    x: Float[Tensor, "*batch L H d"],
    start: int = 0,
    theta: float = 10_000.0,
    angles: Float[Tensor, " pairs"] | None = None,
) -> Float[Tensor, "*batch L H d"]:
    """`x` with each pair of neighbours (0, 1), (2, 3), … rotated by its position's angle (RoPE).

    The pairs are interleaved, as in DeepSeek's code; `start` is the position of the first row.
    Pair i turns by `angles[i]` radians per position; without `angles` by theta^(−2i / d).
    """
    width = x.shape[-1]
    if width % 2:
        raise ValueError(f"x must have an even width, for pairs of neighbours, got {width}")
    if angles is None:
        per_pair = tuple(theta ** -(pair / width) for pair in range(0, width, 2))
    elif angles.shape != (width // 2,):
        raise ValueError(f"angles must be one per pair, {width // 2}, got {tuple(angles.shape)}")
    else:
        per_pair = tuple(angles.tolist())
    wide = x if x.dtype == torch.float64 else x.float()
    if wide.storage_offset() % 2:  # complex numbers start at even places
        wide = wide.clone(memory_format=torch.contiguous_format)
    pairs = torch.view_as_complex(wide.contiguous().unflatten(-1, (-1, 2)))
    end = start + x.shape[-3]
    turns = _turns(per_pair, 1 << end.bit_length(), pairs.dtype, x.device)[start:end]
    turned = pairs * turns
    # view_as_real would ask of its gradient to begin at an even place, too
    return torch.stack([turned.real, turned.imag], dim=-1).flatten(-2).to(x.dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _turns(
    angles: tuple[float, ...], length: int, dtype: torch.dtype, device: torch.device
) -> Complex[Tensor, "L one pairs"]:
    """A number of length 1 for each position and pair: to multiply by it is to turn by its angle.

    All layers of a model share the table, and so do all steps of a text up to `length`. Angles are
    float64, which some devices lack, so they are made on the CPU.
    """
    each = torch.tensor(angles, dtype=torch.float64, device="cpu")
    positions = torch.arange(length, dtype=torch.float64, device="cpu")
    angle = torch.outer(positions, each)[:, None]
    return torch.polar(torch.ones_like(angle), angle).to(dtype).to(device)


class CausalSelfAttention(nn.Module):
    """Causal multi-head attention with RoPE: no position sees a later one."""

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        if num_heads < 1 or d_model % num_heads or d_model // num_heads % 2:
            raise ValueError(
                f"d_model must be num_heads times an even number, "
                f"got d_model={d_model}, num_heads={num_heads}"
            )
        self.num_heads = num_heads
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(-3)
        q, k, v = (y.transpose(1, 2) for y in (rotate(q), rotate(k), v))  # (B, H, L, d)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """One decoder layer: attention and a feed-forward part, each with a norm and a residual."""

    def __init__(self, d_model: int, num_heads: int, ffn: nn.Module):
        super().__init__()
        self.attention_norm = RMSNorm(d_model)
        self.attention = CausalSelfAttention(d_model, num_heads)
        self.ffn_norm = RMSNorm(d_model)
        self.ffn = ffn

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Decoder(nn.Module):
    """A small LLaMA-style language model whose feed-forward part you choose.

    `make_ffn()` is called once per layer and returns a module `(B, L, D)` → `(B, L, D)`.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        make_ffn: Callable[[], nn.Module],
    ):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.blocks: Any = nn.ModuleList(
            Block(d_model, num_heads, make_ffn()) for _ in range(num_layers)
        )
        self.norm = RMSNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
