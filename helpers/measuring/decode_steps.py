"""One step of decoding, timed: standard attention beside latents expanded and latents absorbed.

A step is a whole attention: one new token is projected, joins the cache, attends to everything in
it and passes the output projection.
Letters: B batch, S positions cached, D = d_model, H = num_heads, d = d_head, R = d_latent,
r = d_rope.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.measuring.timing import median_milliseconds
from helpers.model.llama import rotate

WAYS = ("MHA, SDPA", "MHA, matmul", "latents expanded", "latents absorbed")
COPIED = 2**28  # bytes: far more than a processor's own cache holds


@dataclass(frozen=True)
class StepSizes:
    """The sizes of an attention with latents, and of the standard one with the same heads.

    The bytes are those of the cache, for one new token after `context` others; weights come on
    top, and are the same at every context.
    """

    d_model: int
    num_heads: int
    d_head: int
    d_latent: int
    d_rope: int

    def standard_bytes(self, context: int, itemsize: int = 4) -> int:
        """Keys and values of all heads, read once: 2·H·d numbers per position."""
        return 2 * self.num_heads * self.d_head * context * itemsize

    def absorbed_bytes(self, context: int, itemsize: int = 4) -> int:
        """Latents and rotary keys, read once: R + r numbers per position.

        This is the least. The latents are read again to be mixed, which is free only where they
        stay in the processor's own cache.
        """
        return (self.d_latent + self.d_rope) * context * itemsize

    def standard_multiplications(self, context: int) -> int:
        """A score and a share of the mixture for each head and position: 2·H·d per position."""
        return 2 * self.num_heads * self.d_head * context

    def absorbed_multiplications(self, context: int) -> int:
        """Scores from latent and rotary key, latents mixed: H·(2R + r) per position."""
        return self.num_heads * (2 * self.d_latent + self.d_rope) * context

    def expanded_multiplications(self, context: int) -> int:
        """Keys and values of all heads made from R numbers each, then scored and mixed."""
        expanding = self.d_latent * 2 * self.num_heads * self.d_head * context
        turned = self.num_heads * self.d_rope * context
        return expanding + self.standard_multiplications(context) + turned

    def expanded_bytes(self, context: int, itemsize: int = 4) -> int:
        """Latents and rotary keys read, keys and values of all heads written and read again."""
        standard = self.standard_bytes(context, itemsize)
        return self.absorbed_bytes(context, itemsize) + 2 * standard


@runtime_checkable
class Cache(Protocol):
    """What an attention remembers: `append` adds one tensor `(B, L, width)` per part."""

    def append(self, *parts: Tensor) -> tuple[Tensor, ...]: ...


@runtime_checkable
class CachingAttention(Protocol):
    """An attention with latents that makes its own cache."""

    def __call__(self, x: Tensor, cache: Cache, /) -> Tensor: ...

    def new_cache(self, batch: int, capacity: int, /) -> Any: ...


class StandardDecoding(nn.Module):
    """Multi-head attention with RoPE after `context` tokens whose keys and values are random.

    Keys and values lie in two contiguous buffers `(1, H, context + room, d)`. Each step takes one
    token `(1, 1, D)` and uses up one place of the room.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, sizes: StepSizes, context: int, room: int):
        super().__init__()
        width = sizes.num_heads * sizes.d_head
        self.num_heads, self.used = sizes.num_heads, context
        self.qkv = nn.Linear(sizes.d_model, 3 * width, bias=False)
        self.out = nn.Linear(width, sizes.d_model, bias=False)
        shape = 1, sizes.num_heads, context + room, sizes.d_head
        self.register_buffer("keys", torch.randn(shape))
        self.register_buffer("values", torch.randn(shape))

    def sdpa_step(self, x: Float[Tensor, "1 1 D"]) -> Float[Tensor, "1 1 D"]:
        """The step with torch's `scaled_dot_product_attention`."""
        y = F.scaled_dot_product_attention(*self._append(x))
        return self.out(y.transpose(1, 2).flatten(-2))

    def matmul_step(self, x: Float[Tensor, "1 1 D"]) -> Float[Tensor, "1 1 D"]:
        """The step with two matrix products and a softmax."""
        q, keys, values = self._append(x)
        weights = (q @ keys.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)
        return self.out((weights @ values).transpose(1, 2).flatten(-2))

    def _append(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The new query, and all keys and values with the new ones last."""
        if self.used == self.keys.shape[2]:
            raise ValueError(f"the cache holds {self.used} positions, and all are used")
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(-3)
        q, k, v = (y.transpose(1, 2) for y in (rotate(q, self.used), rotate(k, self.used), v))
        self.keys[:, :, self.used] = k[:, :, 0]
        self.values[:, :, self.used] = v[:, :, 0]
        self.used += 1
        return q, self.keys[:, :, : self.used], self.values[:, :, : self.used]


@torch.no_grad()
def decode_milliseconds(
    attention: Callable[..., Any],
    absorbed: Callable[..., Tensor],
    sizes: StepSizes,
    contexts: Iterable[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    turns: int = 5,
) -> dict[str, list[float]]:
    """The median milliseconds of one step after each of `contexts`, for each of `WAYS`.

    `attention(**sizes)` returns a `CachingAttention` whose cache takes latents and rotary keys;
    `absorbed(attention, x, cache)` is its step without expanding them. The four ways take turns,
    and what is cached is random.
    """
    made = attention(**asdict(sizes)).to(device, dtype)
    x = torch.randn(1, 1, sizes.d_model, dtype=dtype, device=device)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for context in contexts:
        room = turns + 1  # one place for the turn that warms up
        standard = StandardDecoding(sizes, context, 2 * room).to(device, dtype)
        caches = [filled_cache(made, sizes, context, room, x) for _ in range(2)]
        steps = (
            lambda standard=standard: standard.sdpa_step(x),
            lambda standard=standard: standard.matmul_step(x),
            lambda cache=caches[0]: made(x, cache),
            lambda cache=caches[1]: absorbed(made, x, cache),
        )
        for way, time_taken in median_milliseconds(
            dict(zip(WAYS, steps, strict=True)), turns
        ).items():
            taken[way].append(time_taken)
    return taken


def filled_cache(
    attention: CachingAttention, sizes: StepSizes, context: int, room: int, like: Tensor
) -> Cache:
    """A cache of `attention` with `context` random latents and rotary keys, and room for more.

    They have the type of `like`, and lie where it does.
    """
    cache = attention.new_cache(1, context + room)
    widths = sizes.d_latent, sizes.d_rope
    cache.append(*(like.new_empty(1, context, width).normal_() for width in widths))
    return cache


def copy_bandwidth(turns: int = 5, device: torch.device | str = "cpu") -> float:
    """How many bytes per second this machine moves when it copies a large tensor; the median.

    Every byte counts twice, as it is read and written.
    """
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    milliseconds = median_milliseconds({"copy": lambda: target.copy_(source)}, turns)
    return 2000 * source.nbytes / milliseconds["copy"]
