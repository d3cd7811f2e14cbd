"""What answers to D4.I1 MultiTokenPrediction are built from."""

import torch

from solutions.d4_deepseek import MultiTokenPrediction


class Stepwise(MultiTokenPrediction):
    """The right layer in steps, each of which a wrong answer may replace."""

    def parts(self, hidden, next_embedding):
        """The normed embedding and the normed hidden state."""
        return self.embed_norm(next_embedding), self.hidden_norm(hidden)

    def joined(self, embedding, hidden):
        """(B, L, D) of both parts."""
        return self.join(torch.cat([embedding, hidden], dim=-1))

    def forward(self, hidden, next_embedding):
        """(B, L, D)."""
        return self.norm(self.block(self.joined(*self.parts(hidden, next_embedding))))
