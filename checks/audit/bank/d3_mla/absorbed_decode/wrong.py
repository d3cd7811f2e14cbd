"""Wrong answers to D3.4 absorbed_decode."""

import copy
import math

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.absorbed_decode.steps import (
    appended,
    both_widths,
    content_scores,
    decode,
    mixed_values,
    over_positions,
    per_head,
    refuse_many,
    rotary_scores,
)


def step_at(attention, x, cache, start):
    """One absorbed step at position `start`."""
    part = attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = cache.append(part.down(x), attention.rotary_key(x, start))
    weights = part.kv_up.weight.unflatten(0, (part.num_heads, -1))
    W_UK, W_UV = weights.split([part.d_head, part.d_value], dim=1)
    q_latent = torch.einsum("blhd,hdR->blhR", q_content, W_UK)
    scores = torch.einsum("blhR,bsR->bhls", q_latent, latent)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    scores = scores / (part.d_head + q_rotary.shape[-1]) ** 0.5
    mixed = torch.einsum("bhls,bsR->blhR", scores.softmax(-1), latent)
    return attention.out(torch.einsum("blhR,hvR->blhv", mixed, W_UV).flatten(-2))


@wrong
def remembers_its_first_position(attention, x, cache):
    """The position of the first step is kept in the attention and used for all that follow."""
    if not hasattr(attention, "first_position"):
        attention.first_position = len(cache)
    return step_at(attention, x, cache, attention.first_position)


@wrong
def unscaled(attention, x, cache):
    """The scores are not divided."""
    return decode(attention, x, cache, divisor=lambda part, latent, key: 1.0)


@wrong
def scaled_by_cached_width(attention, x, cache):
    """sqrt(R + r): the width of the absorbed query."""

    def divisor(part, latent, key):
        return math.sqrt(latent.shape[-1] + key.shape[-1])

    return decode(attention, x, cache, divisor=divisor)


@wrong
def scaled_by_content_width(attention, x, cache):
    """sqrt(d): the rotary width is forgotten."""
    return decode(attention, x, cache, divisor=lambda part, *_: math.sqrt(part.d_head))


@wrong
def rows_exchanged(attention, x, cache):
    """The first rows of each head are taken for the values."""

    def split(weight, part):
        return weight.unflatten(0, (part.num_heads, -1)).split([part.d_value, part.d_head], 1)[::-1]

    return decode(attention, x, cache, split=split)


@wrong
def key_rows_first(attention, x, cache):
    """The weight is cut as if all heads' key rows came before all value rows."""

    def split(weight, part):
        widths = [part.num_heads * part.d_head, part.num_heads * part.d_value]
        return [rows.unflatten(0, (part.num_heads, -1)) for rows in weight.split(widths)]

    return decode(attention, x, cache, split=split)


@wrong
def heads_last(attention, x, cache):
    """The weight is cut with the heads as the fast axis of its rows."""

    def split(weight, part):
        rows = weight.unflatten(0, (-1, part.num_heads)).transpose(0, 1)
        return rows.split([part.d_head, part.d_value], dim=1)

    return decode(attention, x, cache, split=split)


@wrong
def reshaped_not_transposed(attention, x, cache):
    """W_UK (d, R) of a head is read as (R, d) by a reshape."""

    def split(weight, part):
        W_UK, W_UV = per_head(weight, part)
        return W_UK.reshape(part.num_heads, -1, part.d_head).mT, W_UV

    return decode(attention, x, cache, split=split)


@wrong
def mixes_keys(attention, x, cache):
    """W_UK, as far as it goes, takes W_UV's place behind the mixing."""

    def split(weight, part):
        W_UK = per_head(weight, part)[0]
        repeats = -(-part.d_value // part.d_head)
        return W_UK, W_UK.repeat(1, repeats, 1)[:, : part.d_value]

    return decode(attention, x, cache, split=split)


@wrong
def first_head_for_all(attention, x, cache):
    """The first head's W_UK is absorbed into all queries."""

    def split(weight, part):
        W_UK, W_UV = per_head(weight, part)
        return W_UK[:1].expand_as(W_UK), W_UV

    return decode(attention, x, cache, split=split)


@wrong
def forgets_the_new(attention, x, cache):
    """Attends to what was cached before: the new token does not see itself."""
    return decode(attention, x, cache, keep=lambda *c: [y[:, :-1] for y in appended(*c)])


@wrong
def sees_only_the_new(attention, x, cache):
    """Appends, and attends to the new token only."""
    return decode(attention, x, cache, keep=lambda *c: [y[:, -1:] for y in appended(*c)])


@wrong
def cache_does_not_grow(attention, x, cache):
    """Appends to a copy of the cache: the next token will not see this one."""
    return decode(attention, x, copy.deepcopy(cache))


@wrong
def appends_twice(attention, x, cache):
    """The new token is appended twice."""
    return decode(attention, x, cache, keep=lambda *c: appended(*c) and appended(*c))


@wrong
def first_row_for_all(attention, x, cache):
    """The first sequence's cache serves the whole batch."""

    def keep(cache, latent, key):
        return [y[:1].expand_as(y) for y in appended(cache, latent, key)]

    return decode(attention, x, cache, keep=keep)


@wrong
def position_zero(attention, x, cache):
    """Query and key are those of position zero."""
    return decode(attention, x, cache, position=lambda cache: 0)


@wrong
def position_after_append(attention, x, cache):
    """Query and key stand one position too late."""
    return decode(attention, x, cache, position=lambda cache: len(cache) + 1)


@wrong
def query_after_append(attention, x, cache):
    """The query's position is read off the cache after the append: one too late."""
    refuse_many(x)
    part, start = attention.latent, len(cache)
    latent, key = cache.append(part.down(x), attention.rotary_key(x, start))
    q_content, q_rotary = attention.queries(x, len(cache))
    W_UK, W_UV = per_head(part.kv_up.weight, part)
    scores = content_scores(q_content, W_UK, latent) + rotary_scores(q_rotary, key)
    weights = over_positions(scores / both_widths(part, latent, key))
    return attention.out(mixed_values(weights, latent, W_UV).flatten(-2))


@wrong
def rotary_left_out(attention, x, cache):
    """Content scores only."""
    return decode(attention, x, cache, rotary=lambda query, key: 0.0)


@wrong
def content_left_out(attention, x, cache):
    """Rotary scores only."""
    return decode(attention, x, cache, content=lambda query, W_UK, latent: 0.0)


@wrong
def rotary_unscaled(attention, x, cache):
    """Only the content scores are divided."""
    width = attention.latent.d_head + attention.queries.d_rope

    def rotary(query, key):
        return rotary_scores(query, key) * math.sqrt(width)

    return decode(attention, x, cache, rotary=rotary)


@wrong
def softmax_over_heads(attention, x, cache):
    """The softmax runs over the heads."""
    return decode(attention, x, cache, weigh=lambda scores: scores.softmax(dim=1))


@wrong
def softmax_over_queries(attention, x, cache):
    """The softmax runs over the one query: every weight is 1."""
    return decode(attention, x, cache, weigh=lambda scores: scores.softmax(dim=-2))


@wrong
def causal_from_the_start(attention, x, cache):
    """A causal mask aligned to the start: the new token sees position zero only."""

    def weigh(scores):
        hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return over_positions(scores.masked_fill(hidden, -torch.inf))

    return decode(attention, x, cache, weigh=weigh)
