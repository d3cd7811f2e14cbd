"""Cheaper ways to what a latent attention returns: queries in blocks, latents not expanded.

Letters: B batch, L new positions, S positions seen so far, D = d_model.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

QUERY_BLOCK = 256  # longer inputs are attended to block by block
BREAK_EVEN = 0  # cached positions: absorbing never took longer, `python -m benchmarks break_even`
DECODINGS = ("auto", "expand", "absorb")


def absorbs(decode: str, length: int, cached: int) -> bool:
    """Whether `length` new positions after `cached` ones are computed without expanding latents."""
    if decode not in DECODINGS:
        raise ValueError(f"decode must be one of {', '.join(DECODINGS)}, got {decode!r}")
    if length != 1 or not cached or decode == "expand":
        return False
    return decode == "absorb" or cached > BREAK_EVEN


def can_absorb(attention: Any) -> bool:
    """Whether the layer is laid out as absorbed_decode reads it; warns where it is not."""
    names = ("kv_up", "num_heads", "d_head", "d_value")
    if all(hasattr(attention.latent, name) for name in names):
        return True
    warnings.warn(
        f"JointLatent must keep {', '.join(names)} for absorbed_decode: without them latents are "
        "expanded at every step",
        stacklevel=2,
    )
    return False


def attended_in_blocks(
    attention: Any,
    attend: Callable[..., Tensor],
    x: Float[Tensor, "B L D"],
    cache: Any = None,
    block: int = QUERY_BLOCK,
) -> Float[Tensor, "B L D"]:
    """What `attention(x, cache)` returns, with `attend` called on `block` queries at a time.

    Each block of queries meets the keys up to its own end, so half of the scores are never
    computed, and those of one block are all that memory holds at a time.
    """
    start = 0 if cache is None else len(cache)
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = attention.latent.down(x), attention.rotary_key(x, start)
    if cache is not None:
        latent, k_rotary = cache.append(latent, k_rotary)
    k_content, values = attention.latent.up(latent)
    made = []
    for first in range(0, x.shape[1], block):
        rows, seen = slice(first, first + block), min(start + first + block, latent.shape[1])
        queries = q_content[:, rows], q_rotary[:, rows]
        made.append(attend(*queries, k_content[:, :seen], k_rotary[:, :seen], values[:, :seen]))
    return attention.out(torch.cat(made, dim=1).flatten(-2))
