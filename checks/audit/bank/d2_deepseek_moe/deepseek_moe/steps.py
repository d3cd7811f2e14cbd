"""What answers to D2.3d DeepSeekMoE are built from."""

from solutions.d1_moe import dispatch_combine
from solutions.d2_deepseek_moe import DeepSeekMoE, merge_segments, segment_tokens


class Stepwise(DeepSeekMoE):
    """The right layer in steps, each of which a wrong answer may replace."""

    def cut(self, tokens):
        """(T·m, D/m)."""
        return segment_tokens(tokens, self.num_segments)

    def merge(self, rows):
        """(T, D)."""
        return merge_segments(rows, self.num_segments)

    def route(self, rows):
        """Gates and experts of the rows."""
        return self.router(rows)

    def routed(self, tokens):
        """What the routed experts make of the tokens."""
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        return self.merge(dispatch_combine(rows, gates, self.last_experts, self.experts))

    def both(self, tokens):
        """The sum of routed and shared experts."""
        return self.routed(tokens) + self.shared(tokens)

    def forward(self, x):
        """(B, L, D)."""
        return self.both(x.reshape(-1, x.shape[-1])).reshape(x.shape)
