"""Wrong answers to D1.1 TopKRouter: wrong choices or gates."""

import math

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.top_k_router.steps import chosen
from solutions.d1_moe import TopKRouter


@wrong
class SoftmaxOverTokens(TopKRouter):
    """The softmax runs over the tokens."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=0), self.top_k)


@wrong
class NotRenormalised(TopKRouter):
    """The chosen probabilities as they are."""

    def forward(self, x):
        return tuple(self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1))


@wrong
class DividedByAll(TopKRouter):
    """Divided by the sum over all experts, which is one already."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        gates, experts = probs.topk(self.top_k, dim=-1)
        return gates / probs.sum(dim=-1, keepdim=True), experts


@wrong
class DividedOverTokens(TopKRouter):
    """Each slot is divided by its sum over the tokens."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.sum(dim=0), experts


@wrong
class DividedByTotal(TopKRouter):
    """Divided by the sum over the whole batch: `sum()` without a dim."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.sum(), experts


@wrong
class DividedByLargest(TopKRouter):
    """Divided by the largest gate, so the first choice counts 1."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.amax(dim=-1, keepdim=True), experts


@wrong
class LooseEpsilon(TopKRouter):
    """A thousandth added to the divisor, so the gates sum to less than one."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / (gates.sum(dim=-1, keepdim=True) + 1e-3), experts


@wrong
class SoftmaxTwice(TopKRouter):
    """A second softmax, over the chosen probabilities, instead of the division."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates.softmax(dim=-1), experts


@wrong
class SigmoidAffinity(TopKRouter):
    """DeepSeek-V3's sigmoid where the softmax belongs."""

    def forward(self, x):
        return chosen(self.gate(x).sigmoid(), self.top_k)


@wrong
class LogProbabilities(TopKRouter):
    """log_softmax, divided by its sum."""

    def forward(self, x):
        return chosen(F.log_softmax(self.gate(x), dim=-1), self.top_k)


@wrong
class LeastLikely(TopKRouter):
    """The k smallest probabilities."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        gates, experts = probs.topk(self.top_k, dim=-1, largest=False)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class SortedUpwards(TopKRouter):
    """An argsort in rising order, cut at the front."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        experts = probs.argsort(dim=-1)[:, : self.top_k]
        gates = probs.gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class FirstExperts(TopKRouter):
    """The first k experts for every token: no top-k at all."""

    def forward(self, x):
        gates = self.gate(x)[:, : self.top_k].softmax(dim=-1)
        return gates, torch.arange(self.top_k).expand_as(gates)


@wrong
class StrongestLogits(TopKRouter):
    """The logits farthest from zero, whatever their sign."""

    def forward(self, x):
        logits = self.gate(x)
        experts = logits.abs().topk(self.top_k, dim=-1).indices
        return logits.gather(-1, experts).softmax(dim=-1), experts


@wrong
class LogitsAsGates(TopKRouter):
    """The chosen logits, with no softmax anywhere."""

    def forward(self, x):
        return tuple(self.gate(x).topk(self.top_k, dim=-1))


@wrong
class LogitsOverSum(TopKRouter):
    """The chosen logits divided by their sum: sums to one without being a softmax."""

    def forward(self, x):
        return chosen(self.gate(x), self.top_k)


@wrong
class EqualGates(TopKRouter):
    """Every chosen expert counts 1/k."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return torch.ones_like(gates) / self.top_k, experts


@wrong
class GatesAndExpertsApart(TopKRouter):
    """The gates by falling probability, the experts by number: the pairs do not match."""

    def forward(self, x):
        gates, experts = chosen(self.gate(x).softmax(dim=-1), self.top_k)
        return gates, experts.sort(dim=-1).values


@wrong
class ScaledLogits(TopKRouter):
    """The logits divided by sqrt(d_model), out of habit from attention."""

    def forward(self, x):
        return chosen((self.gate(x) / math.sqrt(x.shape[-1])).softmax(dim=-1), self.top_k)


@wrong
class NormalisedInput(TopKRouter):
    """Each token is brought to length one before it is routed."""

    def forward(self, x):
        return chosen(self.gate(F.normalize(x, dim=-1)).softmax(dim=-1), self.top_k)
