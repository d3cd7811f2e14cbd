"""Wrong answers to D3.4 absorbed_decode: right for few positions, small scores or wide types."""

import math

import torch

from checks.audit.answers import wrong


def _scores_and_latents(attention, x, cache):
    """Scores (B, S, H), cached latents (B, S, R) and W_UV (H, v, R)."""
    if x.shape[1] != 1:
        raise ValueError(f"x must hold one new position, (B, 1, D), got {x.shape[1]} positions")
    start, part = len(cache), attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, key = cache.append(part.down(x), attention.rotary_key(x, start))
    both = part.kv_up.weight.unflatten(0, (part.num_heads, -1))
    W_UK, W_UV = both.split([part.d_head, part.d_value], dim=1)
    scores = latent @ torch.einsum("blhd,hdR->bhR", q_content, W_UK).mT
    scores = scores + key @ q_rotary[:, 0].mT
    return scores / math.sqrt(part.d_head + q_rotary.shape[-1]), latent, W_UV


def _output(attention, weights, latent, W_UV):
    y = torch.einsum("bhR,hvR->bhv", weights.mT @ latent, W_UV)
    return attention.out(y.flatten(1)[:, None])


@wrong
def exp_without_the_largest(attention, x, cache):
    """exp of the scores themselves, which overflows."""
    scores, latent, W_UV = _scores_and_latents(attention, x, cache)
    raised = scores.exp()
    return _output(attention, raised / raised.sum(1, keepdim=True), latent, W_UV)


@wrong
def the_last_64_alone(attention, x, cache):
    """The new token sees no more than 64 positions."""
    scores, latent, W_UV = _scores_and_latents(attention, x, cache)
    return _output(attention, scores[:, -64:].softmax(1), latent[:, -64:], W_UV)


@wrong
def softmax_in_float32(attention, x, cache):
    """Weights in float32 at least meet latents of a narrower type."""
    scores, latent, W_UV = _scores_and_latents(attention, x, cache)
    wide = torch.promote_types(scores.dtype, torch.float32)
    return _output(attention, scores.softmax(1, dtype=wide), latent, W_UV)
