"""What slips in the whole attention make of the same weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d3_mla.attention.layer_cases import SlowAttention, as_it_is, normed
from checks.d3_mla.attention.layer_turns import slips_of_turns
from checks.d3_mla.rotation import Angles, slow_turn


def slips_of_merging(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of heads that are put side by side in another order."""

    def mixed(*dims: int) -> Callable[[], Tensor]:
        return lambda: true.out(true.mixed(x).transpose(*dims).reshape(*x.shape[:2], -1))

    return {
        "Are heads and their widths exchanged when heads are put side by side?": mixed(-1, -2),
        "Are (B, H, L, v) flattened as if they were (B, L, H, v)?": mixed(1, 2),
        "Are positions and rows of the batch exchanged on the way back?": mixed(0, 1),
    }


def slips_of_parts(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of a slip inside a part, by the question that points at it."""
    case = true.case
    by = "Scores are divided by sqrt(d_head + d_rope), the width of both parts together."
    root = math.sqrt(case.d_head + case.d_rope)

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    def scaled(by: int) -> Callable[[], Tensor]:
        return lambda: true(x, math.sqrt((case.d_head + case.d_rope) / by))

    return {
        f"Are they divided by sqrt(d_head) alone? {by}": scaled(case.d_head),
        f"Are they not divided at all? {by}": scaled(1),
        f"Are they divided by a square root of d_model? {by}": scaled(case.d_model),
        f"Is the square root left out? {by}": scaled((case.d_head + case.d_rope) ** 2),
        f"Are they divided by the root of what is cached, d_latent + d_rope? {by}": scaled(
            case.d_latent + case.d_rope
        ),
        f"Are they divided by the root of the width of all heads? {by}": scaled(
            case.num_heads * (case.d_head + case.d_rope)
        ),
        "Are both parts of the scores divided, and not the content alone?": lambda: _with_rotary(
            true, root
        )(x),
        "Are both parts of the scores divided, and not the rotary part alone?": lambda: (
            _with_content(true, root)(x)
        ),
        "Is x normed in the layer? That norm is the block's work.": lambda: true(
            _plainly_normed(x)
        ),
        "Is the rotary key normed? Only the latents are.": changed(key_turn=_normed_and_turned),
        "Do the rotary scores reach every head, and not head 0 alone?": changed(
            query_turn=_turned_in_head_0
        ),
        "Is the latent normed before keys and values come from it?": changed(latent_norm=as_it_is),
        "Is the latent normed a second time? down has done it.": changed(latent_norm=_normed_twice),
        "Is the latent of the queries normed?": changed(query_norm=as_it_is),
        "Where do the rotary scores come in?": lambda: _with_rotary(true, 0)(x),
        "Where do the content scores come in?": lambda: _with_content(true, 0)(x),
        "Are the rotary scores added, and not taken off?": lambda: _with_rotary(true, -1)(x),
        "Does each head take its own keys and values, and not the first head's?": lambda: (
            _first_head(true)(x)
        ),
        "Are the heads in their order, the first one first?": lambda: true.out(
            true.mixed(x).flip(-2).flatten(-2)
        ),
        **slips_of_turns(true, x),
    } | _slips_of_rows(true, x)


def _plainly_normed(rows: Tensor) -> Tensor:
    return normed(rows.double(), torch.ones(1))


def _normed_and_turned(rows: Tensor, start: int, angles: Angles) -> Tensor:
    return slow_turn(_plainly_normed(rows), start, angles)


def _turned_in_head_0(rows: Tensor, start: int, angles: Angles) -> Tensor:
    return F.pad(slow_turn(rows[:, :, :1], start, angles), (0, 0, 0, rows.shape[2] - 1))


def _normed_twice(rows: Tensor, weight: Tensor) -> Tensor:
    return normed(normed(rows, weight), weight)


def _with(true: SlowAttention, **weights: Tensor) -> SlowAttention:
    return replace(true, weights={**true.weights, **weights})


def _with_rotary(true: SlowAttention, factor: float) -> SlowAttention:
    """All rotary scores times a factor."""
    name = "rotary_key.k_down.weight"
    return _with(true, **{name: factor * true.weights[name]})


def _with_content(true: SlowAttention, factor: float) -> SlowAttention:
    """All content scores times a factor."""
    name, case = "queries.q_up.weight", true.case
    rows = true.weights[name].clone().unflatten(0, (case.num_heads, -1))
    rows[:, : case.d_head] *= factor
    return _with(true, **{name: rows.flatten(0, 1)})


def _first_head(true: SlowAttention) -> SlowAttention:
    name = "latent.kv_up.weight"
    rows = true.weights[name].unflatten(0, (true.case.num_heads, -1))
    return _with(true, **{name: rows[:1].expand_as(rows).flatten(0, 1)})


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
