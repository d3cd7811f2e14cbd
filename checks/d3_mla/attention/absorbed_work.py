"""How much work one step of decoding takes for each cached token."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from checks.d3_mla.attention.layer_cases import WatchedCache, made
from checks.d3_mla.cases import Latent
from checks.grading import expect
from solutions import d3_mla as reference

CONTEXTS = 12, 300  # cached tokens of the two runs whose work is counted


MOST = 8  # times the work of absorption; expansion is 20 times and more


PRODUCTS = {"mm", "bmm", "mv", "dot", "vdot", "addmm", "addbmm", "baddbmm", "addmv"}


def decode_work(answer: Callable, case: Latent) -> None:
    """In heads that are much wider than the latent, so that expansion costs many times more."""
    rng = random.Random(case.seed)
    d_head, d_value = rng.randint(48, 56), rng.randint(72, 80)
    wide = replace(
        case,
        batch=1,
        length=1,
        contiguous=True,
        d_model=64,
        d_head=d_head,
        d_value=d_value,
        d_latent=rng.randint(4, 5),
        d_rope=rng.choice((2, 4)),
        angles=None,
    )
    short, long = (_counted(answer, wide, context) for context in CONTEXTS)
    got = (long - short) / (CONTEXTS[1] - CONTEXTS[0])
    want = wide.num_heads * (2 * wide.d_latent + wide.d_rope)
    expect.require(
        got <= MOST * want,
        f"each cached token must cost about H·(2R + r) = {wide.num_heads}·({2 * wide.d_latent} + "
        f"{wide.d_rope}) = {want} multiply-adds, got {got:.0f} (d_head={wide.d_head}, "
        f"d_value={wide.d_value}; {CONTEXTS[1]} cached tokens less {CONTEXTS[0]})",
        _expanded(got, wide),
    )


def _counted(answer: Callable, case: Latent, context: int) -> int:
    """The work of one step behind `context` cached tokens, in a cache without spare rows."""
    attention, cache = (
        made(reference.MultiHeadLatentAttention, case),
        WatchedCache(case, context + 1),
    )
    cache.append(case.draw(1, context, case.d_latent), case.draw(1, context, case.d_rope))
    with _Work() as work:
        answer(attention, case.x(), cache)
    return work.total


def _expanded(got: float, case: Latent) -> str:
    """The question to what costs about as much."""
    heads, d, v = case.num_heads, case.d_head, case.d_value
    R, r = case.d_latent, case.d_rope
    costs = {
        "keys and values of all cached tokens": R * (d + v) + d + r + v,
        "keys of all cached tokens, and not of values": R * d + d + r + R,
        "values of all cached tokens, and not of keys": R * v + v + r + R,
    }
    nearest = min(costs, key=lambda what: abs(heads * costs[what] - got))
    if abs(heads * costs[nearest] - got) < 0.15 * got:
        return f"That is the cost of {nearest}. Can the one new token go to the latents instead?"
    return "Is a cached latent multiplied by a weight? Only the new token and the mix should be."


class _Work(TorchDispatchMode):
    """Sums up, over all operations, the multiply-adds of products and the numbers others form."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.total += _work(func.overloadpacket.__name__, args, out)
        return out


def _work(name: str, args: tuple, out: Any) -> int:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if name.removesuffix("_") in PRODUCTS:
        left, right = tensors[-2:]
        return left.numel() * (right.shape[-1] if right.ndim > 1 else 1)
    if name.startswith("_scaled_dot_product"):
        queries, keys, values = tensors[:3]
        pairs = queries[..., 0].numel() * keys.shape[-2]
        return pairs * (keys.shape[-1] + values.shape[-1])
    if name == "convolution":
        return out.numel() * tensors[1][0].numel()
    held = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    return sum(
        value.numel()
        for value in (out if isinstance(out, tuple | list) else [out])
        if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in held
    )
