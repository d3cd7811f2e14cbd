"""D3.3e MultiHeadLatentAttention, answered with the wrong scores, weights or values."""

import math

import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d3_mla import MultiHeadLatentAttention

bank = Bank("d3_mla")


class Stepwise(MultiHeadLatentAttention):
    """The right attention in steps, of which an answer spoils one."""

    def start(self, cache):
        """The position of the first row of x."""
        return 0 if cache is None else len(cache)

    def ask(self, x, start):
        """Content (B, L, H, d) and rotary part (B, L, H, r) of the queries."""
        return self.queries(x, start)

    def latents(self, x):
        """(B, L, R)."""
        return self.latent.down(x)

    def key(self, x, start):
        """(B, L, r)."""
        return self.rotary_key(x, start)

    def keep(self, cache, latent, key):
        """Latents (B, S, R) and rotary keys (B, S, r) of all positions."""
        return (latent, key) if cache is None else cache.append(latent, key)

    def expand(self, latent):
        """Keys (B, S, H, d) and values (B, S, H, v)."""
        return self.latent.up(latent)

    def content_scores(self, query, key):
        """(B, H, L, S)."""
        return torch.einsum("blhd,bshd->bhls", query, key)

    def rotary_scores(self, query, key):
        """(B, H, L, S)."""
        return torch.einsum("blhr,bsr->bhls", query, key)

    def divisor(self):
        """What the scores are divided by."""
        return math.sqrt(self.latent.d_head + self.queries.d_rope)

    def later(self, length, seen):
        """True where a query must not look, (L, S)."""
        return torch.ones(length, seen, dtype=torch.bool).triu(seen - length + 1)

    def weigh(self, scores, later):
        """(B, H, L, S), rows that sum to 1."""
        return scores.masked_fill(later, -torch.inf).softmax(dim=-1)

    def merge(self, y):
        """(B, L, H·v)."""
        return y.flatten(-2)

    def forward(self, x, cache=None):
        """(B, L, D)."""
        start = self.start(cache)
        content, rotary = self.ask(x, start)
        latent, key = self.keep(cache, self.latents(x), self.key(x, start))
        k_content, values = self.expand(latent)
        scores = self.content_scores(content, k_content) + self.rotary_scores(rotary, key)
        weights = self.weigh(scores / self.divisor(), self.later(*scores.shape[-2:]))
        return self.out(self.merge(torch.einsum("bhls,bshv->blhv", weights, values)))


@bank.wrong("D3.3e")
class Unscaled(Stepwise):
    """The scores are not divided."""

    def divisor(self):
        return 1.0


@bank.wrong("D3.3e")
class ScaledByContentWidth(Stepwise):
    """sqrt(d): the rotary width is forgotten."""

    def divisor(self):
        return math.sqrt(self.latent.d_head)


@bank.wrong("D3.3e")
class ScaledByCachedWidth(Stepwise):
    """sqrt(R + r): the width of what is cached."""

    def divisor(self):
        return math.sqrt(self.latent.kv_down.out_features + self.queries.d_rope)


@bank.wrong("D3.3e")
class ScaledByAllHeads(Stepwise):
    """sqrt(H·(d + r)): the width of all heads."""

    def divisor(self):
        return math.sqrt(self.latent.num_heads * (self.latent.d_head + self.queries.d_rope))


@bank.wrong("D3.3e")
class RotaryUnscaled(Stepwise):
    """Only the content scores are divided."""

    def rotary_scores(self, query, key):
        return super().rotary_scores(query, key) * self.divisor()


@bank.wrong("D3.3e")
class LatentNotNormed(Stepwise):
    """The latent goes without its norm."""

    def latents(self, x):
        return self.latent.kv_down(x)


@bank.wrong("D3.3e")
class KeysAndValuesExchanged(Stepwise):
    """Takes what comes first out of the latent as the values."""

    def expand(self, latent):
        values, keys = self.latent.up(latent)
        return keys, values


@bank.wrong("D3.3e")
class KeyRowsFirst(Stepwise):
    """Expands as if all heads' key rows came before all value rows."""

    def expand(self, latent):
        heads, width = self.latent.num_heads, self.latent.num_heads * self.latent.d_head
        both = self.latent.kv_up(latent)
        keys, values = both[..., :width], both[..., width:]
        return keys.unflatten(-1, (heads, -1)), values.unflatten(-1, (heads, -1))


@bank.wrong("D3.3e")
class HeadsLast(Stepwise):
    """Cuts the expanded latent with the heads as the fast axis."""

    def expand(self, latent):
        part = self.latent
        both = part.kv_up(latent).unflatten(-1, (-1, part.num_heads)).transpose(-1, -2)
        return both.split([part.d_head, part.d_value], dim=-1)


@bank.wrong("D3.3e")
class MixesKeys(Stepwise):
    """The keys stand in for the values, as wide as the values are."""

    def expand(self, latent):
        keys, values = self.latent.up(latent)
        repeats = -(-values.shape[-1] // keys.shape[-1])
        return keys, keys.repeat(1, 1, 1, repeats)[..., : values.shape[-1]]


@bank.wrong("D3.3e")
class RotaryLeftOut(Stepwise):
    """Content scores only."""

    def rotary_scores(self, query, key):
        return 0.0


@bank.wrong("D3.3e")
class ContentLeftOut(Stepwise):
    """Rotary scores only."""

    def content_scores(self, query, key):
        return 0.0


@bank.wrong("D3.3e")
class RotaryKeyFromLatent(Stepwise):
    """The rotary key is made of the latent, cut or filled up to the width of x."""

    def key(self, x, start):
        latent = self.latents(x)
        return self.rotary_key(F.pad(latent, (0, x.shape[-1] - latent.shape[-1])), start)


@bank.wrong("D3.3e")
class RotaryKeyNormed(Stepwise):
    """The rotary key has a norm too."""

    def key(self, x, start):
        key = self.rotary_key(x, start)
        return F.rms_norm(key, key.shape[-1:])


@bank.wrong("D3.3e")
class RotaryKeyStretched(Stepwise):
    """Repeats each number of the rotary key, not the key, for the heads."""

    def rotary_scores(self, query, key):
        heads = query.shape[2]
        key = key.repeat_interleave(heads, dim=-1).unflatten(-1, (heads, -1))
        return torch.einsum("blhr,bshr->bhls", query, key)


@bank.wrong("D3.3e")
class RotaryOnOneHead(Stepwise):
    """Only the first head sees the rotary key."""

    def rotary_scores(self, query, key):
        scores = super().rotary_scores(query, key)
        return torch.cat([scores[:, :1], 0 * scores[:, 1:]], dim=1)
