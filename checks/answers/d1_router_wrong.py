"""D1.1 TopKRouter, answered wrongly."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d1_moe import TopKRouter

bank = Bank("d1_moe")


def chosen(probs, top_k):
    """The top_k of each row, renormalised, and where they are."""
    gates, experts = probs.topk(top_k, dim=-1)
    return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class SoftmaxOverTokens(TopKRouter):
    """The softmax runs over the tokens."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=0), self.top_k)


@bank.wrong("D1.1")
class NotRenormalised(TopKRouter):
    """The chosen probabilities as they are."""

    def forward(self, x):
        return tuple(self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1))


@bank.wrong("D1.1")
class DividedByAll(TopKRouter):
    """Divided by the sum over all experts, which is one already."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        gates, experts = probs.topk(self.top_k, dim=-1)
        return gates / probs.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class DividedOverTokens(TopKRouter):
    """Each slot is divided by its sum over the tokens."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.sum(dim=0), experts


@bank.wrong("D1.1")
class DividedByTotal(TopKRouter):
    """Divided by the sum over the whole batch: `sum()` without a dim."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.sum(), experts


@bank.wrong("D1.1")
class DividedByLargest(TopKRouter):
    """Divided by the largest gate, so the first choice counts 1."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.amax(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class LooseEpsilon(TopKRouter):
    """A thousandth added to the divisor, so the gates sum to less than one."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / (gates.sum(dim=-1, keepdim=True) + 1e-3), experts


@bank.wrong("D1.1")
class SoftmaxTwice(TopKRouter):
    """A second softmax, over the chosen probabilities, instead of the division."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates.softmax(dim=-1), experts


@bank.wrong("D1.1")
class SigmoidAffinity(TopKRouter):
    """DeepSeek-V3's sigmoid where the softmax belongs."""

    def forward(self, x):
        return chosen(self.gate(x).sigmoid(), self.top_k)


@bank.wrong("D1.1")
class LogProbabilities(TopKRouter):
    """log_softmax, divided by its sum."""

    def forward(self, x):
        return chosen(F.log_softmax(self.gate(x), dim=-1), self.top_k)


@bank.wrong("D1.1")
class LeastLikely(TopKRouter):
    """The k smallest probabilities."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        gates, experts = probs.topk(self.top_k, dim=-1, largest=False)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class SortedUpwards(TopKRouter):
    """An argsort in rising order, cut at the front."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        experts = probs.argsort(dim=-1)[:, : self.top_k]
        gates = probs.gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class FirstExperts(TopKRouter):
    """The first k experts for every token: no top-k at all."""

    def forward(self, x):
        gates = self.gate(x)[:, : self.top_k].softmax(dim=-1)
        return gates, torch.arange(self.top_k).expand_as(gates)


@bank.wrong("D1.1")
class StrongestLogits(TopKRouter):
    """The logits farthest from zero, whatever their sign."""

    def forward(self, x):
        logits = self.gate(x)
        experts = logits.abs().topk(self.top_k, dim=-1).indices
        return logits.gather(-1, experts).softmax(dim=-1), experts


@bank.wrong("D1.1")
class LogitsAsGates(TopKRouter):
    """The chosen logits, with no softmax anywhere."""

    def forward(self, x):
        return tuple(self.gate(x).topk(self.top_k, dim=-1))


@bank.wrong("D1.1")
class LogitsOverSum(TopKRouter):
    """The chosen logits divided by their sum: sums to one without being a softmax."""

    def forward(self, x):
        return chosen(self.gate(x), self.top_k)


@bank.wrong("D1.1")
class EqualGates(TopKRouter):
    """Every chosen expert counts 1/k."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return torch.ones_like(gates) / self.top_k, experts


@bank.wrong("D1.1")
class GatesAndExpertsApart(TopKRouter):
    """The gates by falling probability, the experts by number: the pairs do not match."""

    def forward(self, x):
        gates, experts = chosen(self.gate(x).softmax(dim=-1), self.top_k)
        return gates, experts.sort(dim=-1).values


@bank.wrong("D1.1")
class ScaledLogits(TopKRouter):
    """The logits divided by sqrt(d_model), out of habit from attention."""

    def forward(self, x):
        return chosen((self.gate(x) / math.sqrt(x.shape[-1])).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class NormalisedInput(TopKRouter):
    """Each token is brought to length one before it is routed."""

    def forward(self, x):
        return chosen(self.gate(F.normalize(x, dim=-1)).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class Int32Experts(TopKRouter):
    """The experts as int32."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.int()


@bank.wrong("D1.1")
class FloatExperts(TopKRouter):
    """The experts as floats."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.to(gates.dtype)


@bank.wrong("D1.1")
class Float32Gates(TopKRouter):
    """The softmax in float32, as DeepSeek's code has it, and never cast back."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1, dtype=torch.float32), self.top_k)


@bank.wrong("D1.1")
class DetachedProbabilities(TopKRouter):
    """`detach` on the probabilities: the router never learns."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1).detach(), self.top_k)


@bank.wrong("D1.1")
class WeightData(TopKRouter):
    """`.data` on the weight: x gets its gradient and the router none."""

    def forward(self, x):
        return chosen((x @ self.gate.weight.data.T).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class DetachedInput(TopKRouter):
    """`detach` on x: the router learns and the layers below hear nothing from it."""

    def forward(self, x):
        return chosen(self.gate(x.detach()).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class DetachedDivisor(TopKRouter):
    """The sum as Python numbers: right gates, wrong gradient."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        sums = [[sum(row)] for row in gates.tolist()]
        return gates / torch.tensor(sums, dtype=gates.dtype), experts


@bank.wrong("D1.1")
class NumbersCopied(TopKRouter):
    """Gates put together from Python floats."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return torch.tensor(gates.tolist(), dtype=x.dtype), experts


@bank.wrong("D1.1")
class EditsInput(TopKRouter):
    """x is centred in place before it is routed."""

    def forward(self, x):
        x -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


@bank.wrong("D1.1")
class TopTwo(TopKRouter):
    """Always two experts, whatever top_k says."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1), 2)


@bank.wrong("D1.1")
class FourExperts(TopKRouter):
    """Always four experts, whatever num_experts says."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        self.gate = nn.Linear(d_model, 4, bias=False)


@bank.wrong("D1.1")
class NoisyTraining(TopKRouter):
    """Noise on the logits while training, as in the first sparse MoE."""

    def forward(self, x):
        logits = self.gate(x)
        if self.training:
            logits = logits + torch.randn_like(logits)
        return chosen(logits.softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class ArgmaxOnly(TopKRouter):
    """The best expert in every slot."""

    def forward(self, x):
        experts = self.gate(x).argmax(dim=-1, keepdim=True).expand(-1, self.top_k)
        gates = self.gate(x).softmax(dim=-1).gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class Swapped(TopKRouter):
    """Experts first, gates second."""

    def forward(self, x):
        return super().forward(x)[::-1]


@bank.wrong("D1.1")
class DenseGates(TopKRouter):
    """A gate for every expert, zero where it was not chosen."""

    def forward(self, x):
        gates, experts = super().forward(x)
        dense = torch.zeros(len(x), self.gate.out_features, dtype=x.dtype)
        return dense.scatter(1, experts, gates), experts


@bank.wrong("D1.1")
class AsLists(TopKRouter):
    """Nested Python lists."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.tolist(), experts.tolist()


@bank.wrong("D1.1")
class Squeezed(TopKRouter):
    """`squeeze` loses an axis when there is one token or one choice."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.squeeze(), experts.squeeze()


@bank.wrong("D1.1")
class FirstTokenDecides(TopKRouter):
    """All tokens go where the first one goes."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        experts = probs[0].topk(self.top_k).indices.expand(len(x), -1)
        gates = probs.gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D1.1")
class CentredOnBatch(TopKRouter):
    """Logits less their mean over the tokens: a token's choice depends on its neighbours."""

    def forward(self, x):
        logits = self.gate(x)
        return chosen((logits - logits.mean(dim=0)).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class FreshWeight(TopKRouter):
    """A new linear layer in every forward pass."""

    def forward(self, x):
        gate = nn.Linear(x.shape[-1], self.gate.out_features, bias=False, dtype=x.dtype)
        return chosen(gate(x).softmax(dim=-1), self.top_k)


@bank.wrong("D1.1")
class UnregisteredWeight(TopKRouter):
    """The weight is a plain tensor, so PyTorch does not know it."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        del self.gate
        self.weight = torch.randn(d_model, num_experts, requires_grad=True)

    def forward(self, x):
        return chosen((x @ self.weight.to(x.dtype)).softmax(dim=-1), self.top_k)
