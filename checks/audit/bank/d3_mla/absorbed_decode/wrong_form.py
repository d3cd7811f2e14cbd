"""Wrong answers to D3.4 absorbed_decode: expanded latents, wrong outputs, side effects."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.absorbed_decode.steps import (
    appended,
    both_widths,
    decode,
    refuse_many,
)
from solutions.d3_mla import attend


@wrong
def calls_the_attention(attention, x, cache):
    """The attention itself: right value, and every cached latent is expanded."""
    refuse_many(x)
    return attention(x, cache)


@wrong
def expands_all(attention, x, cache):
    """Keys and values of all cached positions, by the latent's own `up`."""
    refuse_many(x)
    start = len(cache)
    parts = attention.latent.down(x), attention.rotary_key(x, start)
    latent, key = cache.append(*parts)
    keys, values = attention.latent.up(latent)
    return attention.out(attend(*attention.queries(x, start), keys, key, values).flatten(-2))


@wrong
def expands_keys(attention, x, cache):
    """W_UK on the cached latents, not in the query; W_UV behind the mixing."""

    def content(query, W_UK, latent):
        return torch.einsum("blhd,bshd->bhls", query, torch.einsum("bsR,hdR->bshd", latent, W_UK))

    return decode(attention, x, cache, content=content)


@wrong
def expands_values(attention, x, cache):
    """W_UK in the query; W_UV on the cached latents, before the mixing."""

    def mix(weights, latent, W_UV):
        return torch.einsum("bhls,bshv->blhv", weights, torch.einsum("bsR,hvR->bshv", latent, W_UV))

    return decode(attention, x, cache, mix=mix)


@wrong
def expands_head_by_head(attention, x, cache):
    """Keys and values of all cached positions, of one head after the other."""

    def content(query, W_UK, latent):
        scores = [query[:, :, h] @ (latent @ W.T).mT for h, W in enumerate(W_UK)]
        return torch.stack(scores, dim=1)

    def mix(weights, latent, W_UV):
        return torch.stack([weights[:, h] @ (latent @ W.T) for h, W in enumerate(W_UV)], dim=2)

    return decode(attention, x, cache, content=content, mix=mix)


@wrong
def latent_not_normed(attention, x, cache):
    """The new latent goes into the cache without its norm."""
    return decode(attention, x, cache, make=lambda attention, x: attention.latent.kv_down(x))


@wrong
def normed_again(attention, x, cache):
    """What comes out of the cache is normed once more."""

    def keep(cache, latent, key):
        latent, key = appended(cache, latent, key)
        return attention.latent.kv_norm(latent), key

    return decode(attention, x, cache, keep=keep)


@wrong
def heads_interleaved(attention, x, cache):
    """The heads' outputs are merged as the fast axis."""

    def leave(attention, y):
        return attention.out(y.transpose(-1, -2).flatten(-2))

    return decode(attention, x, cache, leave=leave)


@wrong
def heads_reversed(attention, x, cache):
    """The last head's output comes first."""
    return decode(attention, x, cache, leave=lambda a, y: a.out(y.flip(-2).flatten(-2)))


@wrong
def out_left_out(attention, x, cache):
    """The heads side by side come out, without the output projection."""
    return decode(attention, x, cache, leave=lambda attention, y: y.flatten(-2))


@wrong
def adds_residual(attention, x, cache):
    """Adds x, which is the block's job."""
    return x + decode(attention, x, cache)


@wrong
def position_squeezed(attention, x, cache):
    """(B, D) comes out."""
    return decode(attention, x, cache).squeeze(1)


@wrong
def returns_cache_too(attention, x, cache):
    """A tuple of output and cache."""
    return decode(attention, x, cache), cache


@wrong
def in_float32(attention, x, cache):
    """float32 whatever the attention is."""
    return decode(attention, x, cache).float()


@wrong
def scale_into_the_weight(attention, x, cache):
    """The scale is multiplied into W_UK itself, again with every token."""

    def split(weight, part):
        W_UK, W_UV = weight.unflatten(0, (part.num_heads, -1)).split([part.d_head, part.d_value], 1)
        W_UK.data /= both_widths(part, None, attention.rotary_key.k_down.weight.T)
        return W_UK, W_UV

    return decode(attention, x, cache, split=split, divisor=lambda *_: 1.0)


@wrong
def writes_into_input(attention, x, cache):
    """The output is also added into the caller's x."""
    y = decode(attention, x, cache)
    x.data += y.data
    return y


@wrong
def norms_input(attention, x, cache):
    """Norms x first, which is the block's job."""
    return decode(attention, F.rms_norm(x, x.shape[-1:]), cache)
