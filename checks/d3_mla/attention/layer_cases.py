"""The whole latent attention: its cases, its weights by name, a slow form of it, and a cache that
watches what it is given.

Letters as in `solutions/d3_mla.py`.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.attention.extremes import STEEP
from checks.d3_mla.cases import Latent, given_weights, latents, randomise, slow_attend
from checks.d3_mla.rotation import Angles, slow_turn
from checks.grading import expect
from checks.grading.modules import new_module
from solutions import d3_mla as reference

NAME = "MultiHeadLatentAttention"


def attentions(rng: random.Random) -> list[Latent]:
    """The cases of the parts, and one in which values are as wide as keys."""
    cases = latents(rng)
    even = cases[rng.randrange(2)]
    return [*cases, replace(even, d_value=even.d_head, training=not even.training)]


def made(answer: type, case: Latent) -> nn.Module:
    """An attention of the case's sizes and type, with all weights drawn anew, norms too."""
    options: dict[str, Any] = {"q_latent": case.q_latent}
    options |= {"d_value": case.d_value} if case.d_value != case.d_head else {}
    options |= case.settings("theta", "angles", "scale")
    sizes = case.d_model, case.num_heads, case.d_head, case.d_latent, case.d_rope
    layer = new_module(answer, NAME, *sizes, **options)
    return randomise(layer, case.generator()).to(case.dtype).train(case.training)


def steep(attention: Any) -> Any:
    """The attention with queries a thousand times as large, so that its scores are too."""
    with torch.no_grad():
        attention.queries.q_up.weight.mul_(STEEP)
    return attention


def weight_shapes(case: Latent) -> dict[str, tuple[int, ...]]:
    """Every weight of the attention, by the name that the lesson's constructors make."""
    heads, query = case.num_heads, case.q_latent
    shapes: dict[str, tuple[int, ...]] = {
        "queries.q_down.weight": (query or 0, case.d_model),
        "queries.q_norm.weight": (query or 0,),
        "queries.q_up.weight": (heads * (case.d_head + case.d_rope), query or case.d_model),
        "latent.kv_down.weight": (case.d_latent, case.d_model),
        "latent.kv_norm.weight": (case.d_latent,),
        "latent.kv_up.weight": (heads * (case.d_head + case.d_value), case.d_latent),
        "rotary_key.k_down.weight": (case.d_rope, case.d_model),
        "out.weight": (case.d_model, heads * case.d_value),
    }
    return {name: shape for name, shape in shapes.items() if 0 not in shape}


def normed(rows: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm of the last dimension."""
    return rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def as_it_is(rows: Tensor, *_: object) -> Tensor:
    """In place of a norm or a rotation that is left out."""
    return rows


def turned_in_halves(rows: Tensor, start: int, angles: Angles) -> Tensor:
    """`slow_turn` with pairs (i, i + r/2): the slip of LLaMA's other layout."""
    neighbours = rows.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    turned = slow_turn(neighbours, start, angles)
    return turned.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


@dataclass(frozen=True)
class SlowAttention:
    """Latent attention in float64 from weights by name; a field replaced is a slip."""

    case: Latent
    weights: Mapping[str, Tensor]
    latent_norm: Callable = normed
    query_norm: Callable = normed
    query_turn: Callable = slow_turn
    key_turn: Callable = slow_turn
    content_turn: Callable = as_it_is
    value_turn: Callable = as_it_is

    def cached(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """The normed latent `(B, L, R)` and the turned key `(B, L, r)`."""
        w = self.weights
        latent = self.latent_norm(
            x.double() @ w["latent.kv_down.weight"].T, w["latent.kv_norm.weight"]
        )
        key = (x.double() @ w["rotary_key.k_down.weight"].T)[:, :, None]
        return latent, self.key_turn(key, start, self.case.turns)[:, :, 0]

    def queries(self, x: Tensor, start: int = 0) -> list[Tensor]:
        """Content `(B, L, H, d)` and turned part `(B, L, H, r)`."""
        w, rows = self.weights, x.double()
        if self.case.q_latent is not None:
            rows = self.query_norm(rows @ w["queries.q_down.weight"].T, w["queries.q_norm.weight"])
        both = (rows @ w["queries.q_up.weight"].T).unflatten(-1, (self.case.num_heads, -1))
        both = self.case.scale * both
        content, rotary = both.split([self.case.d_head, self.case.d_rope], dim=-1)
        turns = self.case.turns
        return [self.content_turn(content, start, turns), self.query_turn(rotary, start, turns)]

    def heads(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Keys `(B, S, H, d)` and values `(B, S, H, v)`."""
        both = (latent @ self.weights["latent.kv_up.weight"].T).unflatten(
            -1, (self.case.num_heads, -1)
        )
        keys, values = both.split([self.case.d_head, self.case.d_value], dim=-1)
        turns = self.case.turns
        return self.content_turn(keys, 0, turns), self.value_turn(values, 0, turns)

    def mixed(self, x: Tensor, scale: float = 1.0) -> Tensor:
        """The values each head mixed, `(B, L, H, v)`; all scores times `scale`."""
        latent, key = self.cached(x)
        keys, values = self.heads(latent)
        content, rotary = (scale * part for part in self.queries(x))
        return slow_attend(content, rotary, keys, key, values)

    def softmax_over(self, x: Tensor, dim: int) -> Tensor:
        """The output, if the weights summed to 1 over another dimension of (B, H, L, S)."""
        latent, key = self.cached(x)
        keys, values = self.heads(latent)
        content, rotary = self.queries(x)
        scores = torch.einsum("blhd,bshd->bhls", content, keys)
        scores = scores + torch.einsum("blhr,bsr->bhls", rotary, key)
        scores = scores / math.sqrt(self.case.d_head + self.case.d_rope)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        if dim == -2:  # every key is seen by its own query at least
            weights = scores.masked_fill(later, -torch.inf).softmax(dim)
        else:
            weights = scores.softmax(dim).masked_fill(later, 0.0)
        return self.out(torch.einsum("bhls,bshv->blhv", weights, values).flatten(-2))

    def seeing(self, x: Tensor, until: Callable[[int], int]) -> Tensor:
        """The output, if position i saw the first `until(i)` positions."""
        latent, key = self.cached(x)
        keys, values = self.heads(latent)
        content, rotary = self.queries(x)
        rows = [
            slow_attend(
                content[:, i, None], rotary[:, i, None], keys[:, :n], key[:, :n], values[:, :n]
            )
            for i, n in enumerate(map(until, range(x.shape[1])))
        ]
        return self.out(torch.cat(rows, dim=1).flatten(-2))

    def out(self, y: Tensor) -> Tensor:
        return y @ self.weights["out.weight"].T

    def __call__(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.out(self.mixed(x, scale).flatten(-2))


def slow(layer: nn.Module, case: Latent) -> SlowAttention:
    """The slow form with the weights of `layer`, once they are those of the constructor."""
    held = given_weights(layer, NAME, weight_shapes(case))
    return SlowAttention(case, {name: weight.clone() for name, weight in held.items()})


class WatchedCache(reference.LatentCache):
    """A `LatentCache` that refuses other parts in the lesson's words and keeps what it was given.

    Rows not used yet hold large numbers, so that whoever reads them is seen.
    """

    def __init__(self, case: Latent, capacity: int):
        super().__init__(case.batch, capacity, case.d_latent, case.d_rope)
        self.dtype = case.dtype
        self.given: list[list[Tensor]] = []

    def append(self, *parts: Tensor) -> tuple[Tensor, ...]:
        wanted = "cache.append must get two parts, the normed latent and the rotated key"
        expect.require(len(parts) == 2, f"{wanted}, got {len(parts)}")
        length = parts[0].shape[1] if getattr(parts[0], "ndim", 0) == 3 else "L"
        names = "the first part of cache.append, the latent,", "the second, the rotary key,"
        ask = "Are the two exchanged? The latent comes first, then the key that all heads share."
        for part, name, width in zip(parts, names, self.widths, strict=True):
            expect.tensor(
                part, name, (self.batch, length, width), self.dtype, ask, (*TOKENS[:2], "numbers")
            )
        self.given.append([part.detach().clone() for part in parts])
        views = super().append(*parts)
        if len(self.given) == 1:
            for buffer in self.buffers:
                buffer[:, self.used :] = 50.0
        return views

    def rows(self) -> tuple[Tensor, Tensor]:
        """All that was given so far, `(B, S, R)` and `(B, S, r)`."""
        empty = [torch.zeros(self.batch, 0, width, dtype=self.dtype) for width in self.widths]
        latent, key = (torch.cat(parts, dim=1) for parts in zip(empty, *self.given, strict=True))
        return latent, key


WatchedCache.__name__ = reference.LatentCache.__name__  # what Python's own errors call it
