"""What answers to D3.4 absorbed_decode are built from."""

import math

import torch


def refuse_many(x):
    """The first lines of the exercise, which a learner is given."""
    if x.shape[1] != 1:
        raise ValueError(f"x must hold one new position, (B, 1, D), got {x.shape[1]} positions")


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
    """The right answer in steps, each of which a wrong answer may replace."""
    refuse_many(x)
    part, start = attention.latent, position(cache)
    q_content, q_rotary = attention.queries(x, start)
    latent, key = keep(cache, make(attention, x), attention.rotary_key(x, start))
    W_UK, W_UV = split(part.kv_up.weight, part)
    scores = content(q_content, W_UK, latent) + rotary(q_rotary, key)
    weights = weigh(scores / divisor(part, latent, key))
    return leave(attention, mix(weights, latent, W_UV))
