"""What answers to D4.2a DeepSeek are built from."""

from solutions.d4_deepseek import DeepSeek


class Stepwise(DeepSeek):
    """The right model in steps, each of which a wrong answer may replace."""

    def embedded(self, ids):
        """(B, L, D)."""
        return self.embed(ids)

    def through(self, x, caches):
        """What the blocks make of x."""
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return x

    def read(self, x):
        """Logits of what the blocks made."""
        return self.head(self.norm(x))

    def forward(self, ids, caches=None):
        """(B, L, V)."""
        return self.read(self.through(self.embedded(ids), caches))
