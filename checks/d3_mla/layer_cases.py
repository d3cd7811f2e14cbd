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

from checks.d3_mla.cases import (
    THETA,
    Angles,
    Latent,
    given_weights,
    latents,
    randomise,
    slow_attend,
    slow_turn,
)
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
        return [content, self.query_turn(rotary, start, self.case.turns)]

    def heads(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Keys `(B, S, H, d)` and values `(B, S, H, v)`."""
        both = (latent @ self.weights["latent.kv_up.weight"].T).unflatten(
            -1, (self.case.num_heads, -1)
        )
        return both.split([self.case.d_head, self.case.d_value], dim=-1)

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


def slips_of_merging(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of heads that are put side by side in another order."""

    def mixed(*dims: int) -> Callable[[], Tensor]:
        return lambda: true.out(true.mixed(x).transpose(*dims).reshape(*x.shape[:2], -1))

    return {
        "Are heads and their widths exchanged when heads are put side by side?": mixed(-1, -2),
        "Are (B, H, L, v) flattened as if they were (B, L, H, v)?": mixed(1, 2),
        "Are positions and rows of the batch exchanged on the way back?": mixed(0, 1),
    }


def slips_of_chunks(true: SlowAttention, x: Tensor, lengths: list[int]) -> dict:
    """What comes of a slip with a filled cache, if x is passed in chunks of these lengths."""
    starts = [sum(lengths[:k]) for k, n in enumerate(lengths) for _ in range(n)]
    ends = [sum(lengths[: k + 1]) for k, n in enumerate(lengths) for _ in range(n)]

    def turn(rows: Tensor, start: int, angles: Angles) -> Tensor:
        return torch.cat([slow_turn(part, 0, angles) for part in rows.split(lengths, 1)], dim=1)

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    last = "The L queries are the last L of the S positions."
    return {
        "Do keys and values come from the new positions alone? cache.append returns all.": lambda: (
            torch.cat([true(part) for part in x.split(lengths, 1)], dim=1)
        ),
        "Do queries and key get the position that x starts at, len(cache)?": changed(
            query_turn=turn, key_turn=turn
        ),
        "Do the queries get the position that x starts at, len(cache)?": changed(query_turn=turn),
        "Does the key get the position that x starts at, len(cache)?": changed(key_turn=turn),
        f"Does the mask take the queries for the first positions? {last}": lambda: true.seeing(
            x, lambda i: i - starts[i] + 1
        ),
        f"Are later positions hidden with a filled cache too? {last}": lambda: true.seeing(
            x, lambda i: ends[i]
        ),
    }


def slips_of_parts(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of a slip inside a part, by the question that points at it."""
    case = true.case
    by = "Scores are divided by sqrt(d_head + d_rope), the width of both parts together."

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    def scaled(by: int) -> Callable[[], Tensor]:
        return lambda: true(x, math.sqrt((case.d_head + case.d_rope) / by))

    return {
        f"Are they divided by sqrt(d_head) alone? {by}": scaled(case.d_head),
        f"Are they not divided at all? {by}": scaled(1),
        f"Are they divided by a square root of d_model? {by}": scaled(case.d_model),
        f"Is the square root left out? {by}": scaled((case.d_head + case.d_rope) ** 2),
        "Is the latent normed before keys and values come from it?": changed(latent_norm=as_it_is),
        "Is the latent normed a second time? down has done it.": changed(latent_norm=_normed_twice),
        "Is the latent of the queries normed?": changed(query_norm=as_it_is),
        "Where do the rotary scores come in?": lambda: _without_rotary(true)(x),
        "Are neither rotary queries nor the rotary key turned?": changed(
            query_turn=as_it_is, key_turn=as_it_is
        ),
        "Are the rotary queries turned too?": changed(query_turn=as_it_is),
        "Is the rotary key turned too?": changed(key_turn=as_it_is),
        "Are rotary pairs neighbours (0, 1), (2, 3), … and not halves?": changed(
            query_turn=turned_in_halves, key_turn=turned_in_halves
        ),
        "Is theta handed on to queries and key?": changed(case=replace(case, theta=THETA)),
        "Are the angles handed on to queries and key?": changed(case=replace(case, angles=None)),
        "Is the scale handed on to the queries?": changed(case=replace(case, scale=1.0)),
    } | _slips_of_rows(true, x)


def _normed_twice(rows: Tensor, weight: Tensor) -> Tensor:
    return normed(normed(rows, weight), weight)


def _without_rotary(true: SlowAttention) -> SlowAttention:
    name = "rotary_key.k_down.weight"
    return replace(true, weights={**true.weights, name: 0 * true.weights[name]})


def _slips_of_rows(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    kv = "latent.kv_up.weight", true.case.d_head, true.case.d_value
    q = "queries.q_up.weight", true.case.d_head, true.case.d_rope

    def read(order: Callable, name: str, *sizes: int) -> Callable[[], Tensor]:
        changed = order(true.weights[name], true.case.num_heads, *sizes)
        return lambda: replace(true, weights={**true.weights, name: changed})(x)

    heads_first = "Are the outputs of {} cut as (num_heads, width), heads first?"
    return {
        "Are keys and values exchanged? In each head's rows the key comes first.": read(
            _exchanged, *kv
        ),
        "Is kv_up read as all keys, then all values? Its rows are per head.": read(_apart, *kv),
        heads_first.format("kv_up"): read(_heads_last, *kv),
        "Are the parts of q_up exchanged? In each head's rows content comes first.": read(
            _exchanged, *q
        ),
        "Is q_up read as all content, then all rotary? Its rows are per head.": read(_apart, *q),
        heads_first.format("q_up"): read(_heads_last, *q),
    }


def _exchanged(weight: Tensor, heads: int, first: int, second: int) -> Tensor:
    """What is read as first and second part, if the second were first in each head's rows."""
    rows = weight.unflatten(0, (heads, first + second))
    return torch.cat([rows[:, second:], rows[:, :second]], dim=1).flatten(0, 1)


def _apart(weight: Tensor, heads: int, first: int, second: int) -> Tensor:
    """The same, if all heads' first parts were above all second ones."""
    parts = weight.split([heads * first, heads * second])
    return torch.cat([part.unflatten(0, (heads, -1)) for part in parts], dim=1).flatten(0, 1)


def _heads_last(weight: Tensor, heads: int, first: int, second: int) -> Tensor:
    """The same, if neighbouring rows belonged to different heads."""
    return weight.unflatten(0, (first + second, heads)).transpose(0, 1).flatten(0, 1)


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
        ask = "The latent comes first, then the key that all heads share."
        for part, name, width in zip(parts, names, self.widths, strict=True):
            expect.tensor(part, name, (self.batch, length, width), self.dtype, ask)
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
