"""What answers to D2.3b BiasedRouter are built from."""

from solutions.d2_deepseek_moe import BiasedRouter, keep_top_groups


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
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return self.scale * gates

    def forward(self, x):
        """Gates and experts."""
        scores = self.affinities(self.gate(x))
        experts = self.choose(scores)
        return self.weigh(scores, experts), experts
