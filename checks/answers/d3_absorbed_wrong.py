"""D3.4 absorbed_decode, answered wrongly."""

import copy
import math

import torch

from checks.answers.bank import Bank
from checks.answers.d3_absorbed_right import refuse_many

bank = Bank("d3_mla")


def normed(attention, x):
    """The latent to cache."""
    return attention.latent.down(x)


def appended(cache, latent, key):
    """Latents (B, S, R) and rotary keys (B, S, r) to attend to."""
    return cache.append(latent, key)


def per_head(weight, part):
    """W_UK (H, d, R) and W_UV (H, v, R) of a weight whose rows are per head, key then value."""
    return weight.unflatten(0, (part.num_heads, -1)).split([part.d_head, part.d_value], dim=1)


def both_widths(part, latent, key):
    """The divisor of the scores."""
    return math.sqrt(part.d_head + key.shape[-1])


def content_scores(query, W_UK, latent):
    """(B, H, 1, S)."""
    return torch.einsum("blhR,bsR->bhls", torch.einsum("blhd,hdR->blhR", query, W_UK), latent)


def rotary_scores(query, key):
    """(B, H, 1, S)."""
    return torch.einsum("blhr,bsr->bhls", query, key)


def over_positions(scores):
    """Weights that sum to 1 over the positions."""
    return scores.softmax(dim=-1)


def mixed_values(weights, latent, W_UV):
    """(B, 1, H, v)."""
    return torch.einsum("blhR,hvR->blhv", torch.einsum("bhls,bsR->blhR", weights, latent), W_UV)


def decode(
    attention,
    x,
    cache,
    *,
    position=len,
    make=normed,
    keep=appended,
    split=per_head,
    divisor=both_widths,
    content=content_scores,
    rotary=rotary_scores,
    weigh=over_positions,
    mix=mixed_values,
    leave=lambda attention, y: attention.out(y.flatten(-2)),
):
    """The right answer in steps, of which an answer below spoils one."""
    refuse_many(x)
    part, start = attention.latent, position(cache)
    q_content, q_rotary = attention.queries(x, start)
    latent, key = keep(cache, make(attention, x), attention.rotary_key(x, start))
    W_UK, W_UV = split(part.kv_up.weight, part)
    scores = content(q_content, W_UK, latent) + rotary(q_rotary, key)
    weights = weigh(scores / divisor(part, latent, key))
    return leave(attention, mix(weights, latent, W_UV))


@bank.wrong("D3.4")
def unscaled(attention, x, cache):
    """The scores are not divided."""
    return decode(attention, x, cache, divisor=lambda part, latent, key: 1.0)


@bank.wrong("D3.4")
def scaled_by_cached_width(attention, x, cache):
    """sqrt(R + r): the width of the absorbed query."""

    def divisor(part, latent, key):
        return math.sqrt(latent.shape[-1] + key.shape[-1])

    return decode(attention, x, cache, divisor=divisor)


@bank.wrong("D3.4")
def scaled_by_content_width(attention, x, cache):
    """sqrt(d): the rotary width is forgotten."""
    return decode(attention, x, cache, divisor=lambda part, *_: math.sqrt(part.d_head))


@bank.wrong("D3.4")
def rows_exchanged(attention, x, cache):
    """The first rows of each head are taken for the values."""

    def split(weight, part):
        return weight.unflatten(0, (part.num_heads, -1)).split([part.d_value, part.d_head], 1)[::-1]

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def key_rows_first(attention, x, cache):
    """The weight is cut as if all heads' key rows came before all value rows."""

    def split(weight, part):
        widths = [part.num_heads * part.d_head, part.num_heads * part.d_value]
        return [rows.unflatten(0, (part.num_heads, -1)) for rows in weight.split(widths)]

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def heads_last(attention, x, cache):
    """The weight is cut with the heads as the fast axis of its rows."""

    def split(weight, part):
        rows = weight.unflatten(0, (-1, part.num_heads)).transpose(0, 1)
        return rows.split([part.d_head, part.d_value], dim=1)

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def reshaped_not_transposed(attention, x, cache):
    """W_UK (d, R) of a head is read as (R, d) by a reshape."""

    def split(weight, part):
        W_UK, W_UV = per_head(weight, part)
        return W_UK.reshape(part.num_heads, -1, part.d_head).mT, W_UV

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def mixes_keys(attention, x, cache):
    """W_UK, as far as it goes, takes W_UV's place behind the mixing."""

    def split(weight, part):
        W_UK = per_head(weight, part)[0]
        repeats = -(-part.d_value // part.d_head)
        return W_UK, W_UK.repeat(1, repeats, 1)[:, : part.d_value]

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def first_head_for_all(attention, x, cache):
    """The first head's W_UK is absorbed into all queries."""

    def split(weight, part):
        W_UK, W_UV = per_head(weight, part)
        return W_UK[:1].expand_as(W_UK), W_UV

    return decode(attention, x, cache, split=split)


@bank.wrong("D3.4")
def forgets_the_new(attention, x, cache):
    """Attends to what was cached before: the new token does not see itself."""
    return decode(attention, x, cache, keep=lambda *c: [y[:, :-1] for y in appended(*c)])


@bank.wrong("D3.4")
def sees_only_the_new(attention, x, cache):
    """Appends, and attends to the new token only."""
    return decode(attention, x, cache, keep=lambda *c: [y[:, -1:] for y in appended(*c)])


@bank.wrong("D3.4")
def cache_does_not_grow(attention, x, cache):
    """Appends to a copy of the cache: the next token will not see this one."""
    return decode(attention, x, copy.deepcopy(cache))


@bank.wrong("D3.4")
def appends_twice(attention, x, cache):
    """The new token is appended twice."""
    return decode(attention, x, cache, keep=lambda *c: appended(*c) and appended(*c))


@bank.wrong("D3.4")
def first_row_for_all(attention, x, cache):
    """The first sequence's cache serves the whole batch."""

    def keep(cache, latent, key):
        return [y[:1].expand_as(y) for y in appended(cache, latent, key)]

    return decode(attention, x, cache, keep=keep)


@bank.wrong("D3.4")
def position_zero(attention, x, cache):
    """Query and key are those of position zero."""
    return decode(attention, x, cache, position=lambda cache: 0)


@bank.wrong("D3.4")
def position_after_append(attention, x, cache):
    """Query and key stand one position too late."""
    return decode(attention, x, cache, position=lambda cache: len(cache) + 1)


@bank.wrong("D3.4")
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


@bank.wrong("D3.4")
def rotary_left_out(attention, x, cache):
    """Content scores only."""
    return decode(attention, x, cache, rotary=lambda query, key: 0.0)


@bank.wrong("D3.4")
def content_left_out(attention, x, cache):
    """Rotary scores only."""
    return decode(attention, x, cache, content=lambda query, W_UK, latent: 0.0)


@bank.wrong("D3.4")
def rotary_unscaled(attention, x, cache):
    """Only the content scores are divided."""
    width = attention.latent.d_head + attention.queries.d_rope

    def rotary(query, key):
        return rotary_scores(query, key) * math.sqrt(width)

    return decode(attention, x, cache, rotary=rotary)


@bank.wrong("D3.4")
def softmax_over_heads(attention, x, cache):
    """The softmax runs over the heads."""
    return decode(attention, x, cache, weigh=lambda scores: scores.softmax(dim=1))


@bank.wrong("D3.4")
def softmax_over_queries(attention, x, cache):
    """The softmax runs over the one query: every weight is 1."""
    return decode(attention, x, cache, weigh=lambda scores: scores.softmax(dim=-2))


@bank.wrong("D3.4")
def causal_from_the_start(attention, x, cache):
    """A causal mask aligned to the start: the new token sees position zero only."""

    def weigh(scores):
        hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return over_positions(scores.masked_fill(hidden, -torch.inf))

    return decode(attention, x, cache, weigh=weigh)
