"""What answers to D4.1 DeepSeekBlock are built from."""

from solutions.d4_deepseek import DeepSeekBlock


class Stepwise(DeepSeekBlock):
    """The right block in steps, each of which a wrong answer may replace."""

    def attended(self, x, cache):
        """What attention adds to x."""
        return self.attention(self.attention_norm(x), cache)

    def fed(self, x):
        """What the feed-forward part adds to x."""
        return self.ffn(self.ffn_norm(x))

    def forward(self, x, cache=None):
        """(B, L, D)."""
        x = x + self.attended(x, cache)
        return x + self.fed(x)
