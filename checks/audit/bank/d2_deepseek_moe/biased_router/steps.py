"""What answers to D2.3b BiasedRouter are built from."""

import torch

from solutions.d2_deepseek_moe import BiasedRouter, keep_top_groups


def wide(y):
    """`y` in float32 where it is narrower."""
    return y if y.dtype == torch.float64 else y.float()


def above_zero(total):
    """A sum that may divide."""
    return total.clamp(min=torch.finfo(total.dtype).tiny)


class Stepwise(BiasedRouter):
    """The right router in four steps, each of which a wrong answer may replace."""

    def affinities(self, logits):
        """(T, E)."""
        return logits.sigmoid() if self.affinity == "sigmoid" else logits.softmax(dim=-1)

    def grouped(self, biased):
        """(T, E), with -inf outside the best groups."""
        if self.num_groups == 1:
            return biased
        return keep_top_groups(biased, self.num_groups, self.top_groups)

    def choose(self, scores):
        """(T, K) experts."""
        return self.grouped(scores.detach() + self.bias).topk(self.top_k, dim=-1).indices

    def weigh(self, scores, experts):
        """(T, K) gates."""
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / above_zero(gates.sum(dim=-1, keepdim=True))
        return self.scale * gates

    def forward(self, x):
        """Gates and experts."""
        scores = self.affinities(wide(self.gate(x)))
        experts = self.choose(scores)
        return self.weigh(scores, experts).to(x.dtype), experts
