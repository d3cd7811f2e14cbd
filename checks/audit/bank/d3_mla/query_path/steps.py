"""What answers to D3.3a QueryPath are built from."""

from helpers.model.llama import rotate
from solutions.d3_mla import QueryPath


class Stepwise(QueryPath):
    """The right path in four steps, each of which a wrong answer may replace."""

    def squeezed(self, x):
        """x, or its latent."""
        return x if self.q_latent is None else self.normed(self.q_down(x))

    def normed(self, latent):
        """The normed latent."""
        return self.q_norm(latent)

    def parts(self, q):
        """Content and rotary part of q (B, L, H·(d + r)), not turned."""
        return self.heads(q).split([self.d_head, self.d_rope], dim=-1)

    def heads(self, q):
        """(B, L, H, d + r)."""
        return self.scale * q.unflatten(-1, (self.num_heads, -1))

    def turn(self, rotary, start):
        """The rotary part, turned."""
        return rotate(rotary, start, self.theta, self.angles)

    def forward(self, x, start=0):
        """Content and rotary part."""
        content, rotary = self.parts(self.q_up(self.squeezed(x)))
        return content, self.turn(rotary, start)
