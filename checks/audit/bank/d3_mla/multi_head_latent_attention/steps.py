"""What answers to D3.3e MultiHeadLatentAttention are built from."""

import math

import torch

from solutions.d3_mla import MultiHeadLatentAttention


class Stepwise(MultiHeadLatentAttention):
    """The right attention in steps, each of which a wrong answer may replace."""

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
