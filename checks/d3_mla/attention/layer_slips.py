"""What slips in the whole attention make of the same weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.attention.layer_cases import SlowAttention, as_it_is, normed, turned_in_halves
from checks.d3_mla.rotation import THETA, Angles, slow_turn, theta_angles


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
        "Is len(cache) read after the append, for the queries? It is the start before it.": changed(
            query_turn=_turned_on(lengths)
        ),
        "Is len(cache) read after the append, for queries and key? It is the start before it.": (
            changed(query_turn=_turned_on(lengths), key_turn=_turned_on(lengths))
        ),
        f"Does the mask take the queries for the first positions? {last}": lambda: true.seeing(
            x, lambda i: i - starts[i] + 1
        ),
        f"Are later positions hidden with a filled cache too? {last}": lambda: true.seeing(
            x, lambda i: ends[i]
        ),
    }


def _turned_on(lengths: list[int]) -> Callable[[Tensor, int, Angles], Tensor]:
    """Every chunk turned as if it began where it ends."""

    def turn(rows: Tensor, start: int, angles: Angles) -> Tensor:
        parts = rows.split(lengths, dim=1)
        ends = [sum(lengths[: k + 1]) for k in range(len(parts))]
        turned = [slow_turn(part, at, angles) for part, at in zip(parts, ends, strict=True)]
        return torch.cat(turned, dim=1)

    return turn


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
        f"Do the queries take scale and angles {_WITHOUT}?": changed(
            case=replace(case, scale=1.0), query_turn=_turned_by_default
        ),
        f"Do the queries take theta or angles {_WITHOUT}?": changed(query_turn=_turned_by_default),
    } | _slips_of_rows(true, x)


_WITHOUT = "both with a query latent and without"


def _turned_by_default(rows: Tensor, start: int, angles: Angles) -> Tensor:
    return slow_turn(rows, start, theta_angles(rows.shape[-1]))


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
