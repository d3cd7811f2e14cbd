"""Wrong answers to D3.3e MultiHeadLatentAttention: wrong scores, weights or values."""

import math

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.multi_head_latent_attention.steps import Stepwise


@wrong
class Unscaled(Stepwise):
    """The scores are not divided."""

    def divisor(self):
        return 1.0


@wrong
class ScaledByContentWidth(Stepwise):
    """sqrt(d): the rotary width is forgotten."""

    def divisor(self):
        return math.sqrt(self.latent.d_head)


@wrong
class ScaledByCachedWidth(Stepwise):
    """sqrt(R + r): the width of what is cached."""

    def divisor(self):
        return math.sqrt(self.latent.kv_down.out_features + self.queries.d_rope)


@wrong
class ScaledByAllHeads(Stepwise):
    """sqrt(H·(d + r)): the width of all heads."""

    def divisor(self):
        return math.sqrt(self.latent.num_heads * (self.latent.d_head + self.queries.d_rope))


@wrong
class RotaryUnscaled(Stepwise):
    """Only the content scores are divided."""

    def rotary_scores(self, query, key):
        return super().rotary_scores(query, key) * self.divisor()


@wrong
class LatentNotNormed(Stepwise):
    """The latent goes without its norm."""

    def latents(self, x):
        return self.latent.kv_down(x)


@wrong
class KeysAndValuesExchanged(Stepwise):
    """Takes what comes first out of the latent as the values."""

    def expand(self, latent):
        values, keys = self.latent.up(latent)
        return keys, values


@wrong
class KeyRowsFirst(Stepwise):
    """Expands as if all heads' key rows came before all value rows."""

    def expand(self, latent):
        heads, width = self.latent.num_heads, self.latent.num_heads * self.latent.d_head
        both = self.latent.kv_up(latent)
        keys, values = both[..., :width], both[..., width:]
        return keys.unflatten(-1, (heads, -1)), values.unflatten(-1, (heads, -1))


@wrong
class HeadsLast(Stepwise):
    """Cuts the expanded latent with the heads as the fast axis."""

    def expand(self, latent):
        part = self.latent
        both = part.kv_up(latent).unflatten(-1, (-1, part.num_heads)).transpose(-1, -2)
        return both.split([part.d_head, part.d_value], dim=-1)


@wrong
class MixesKeys(Stepwise):
    """The keys stand in for the values, as wide as the values are."""

    def expand(self, latent):
        keys, values = self.latent.up(latent)
        repeats = -(-values.shape[-1] // keys.shape[-1])
        return keys, keys.repeat(1, 1, 1, repeats)[..., : values.shape[-1]]


@wrong
class RotaryLeftOut(Stepwise):
    """Content scores only."""

    def rotary_scores(self, query, key):
        return 0.0


@wrong
class ContentLeftOut(Stepwise):
    """Rotary scores only."""

    def content_scores(self, query, key):
        return 0.0


@wrong
class RotaryKeyFromLatent(Stepwise):
    """The rotary key is made of the latent, cut or filled up to the width of x."""

    def key(self, x, start):
        latent = self.latents(x)
        return self.rotary_key(F.pad(latent, (0, x.shape[-1] - latent.shape[-1])), start)


@wrong
class RotaryKeyNormed(Stepwise):
    """The rotary key has a norm too."""

    def key(self, x, start):
        key = self.rotary_key(x, start)
        return F.rms_norm(key, key.shape[-1:])


@wrong
class RotaryKeyStretched(Stepwise):
    """Repeats each number of the rotary key, not the key, for the heads."""

    def rotary_scores(self, query, key):
        heads = query.shape[2]
        key = key.repeat_interleave(heads, dim=-1).unflatten(-1, (heads, -1))
        return torch.einsum("blhr,bshr->bhls", query, key)


@wrong
class RotaryOnOneHead(Stepwise):
    """Only the first head sees the rotary key."""

    def rotary_scores(self, query, key):
        scores = super().rotary_scores(query, key)
        return torch.cat([scores[:, :1], 0 * scores[:, 1:]], dim=1)
