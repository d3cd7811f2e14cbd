"""What answers to D3.3b JointLatent are built from."""

from solutions.d3_mla import JointLatent


class Stepwise(JointLatent):
    """The right latent in three steps, each of which a wrong answer may replace."""

    def normed(self, latent):
        """The normed latent."""
        return self.kv_norm(latent)

    def down(self, x):
        """The normed latent of x."""
        return self.normed(self.kv_down(x))

    def heads(self, both):
        """(B, S, H, d + v)."""
        return both.unflatten(-1, (self.num_heads, -1))

    def parts(self, both):
        """Keys and values out of (B, S, H·(d + v))."""
        return self.heads(both).split([self.d_head, self.d_value], dim=-1)

    def up(self, latent):
        """Keys and values."""
        return self.parts(self.kv_up(latent))
