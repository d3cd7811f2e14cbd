"""Right answers to D2.3b BiasedRouter."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d2_deepseek_moe.biased_router.steps import above_zero, wide
from solutions.d2_deepseek_moe import BiasedRouter, keep_top_groups

EQUIVALENT_MUTANTS = {
    (
        "experts = biased.topk(self.top_k, dim=-1).indices → "
        "experts = biased.topk(self.top_k).indices"
    ): "the last dimension is topk's default",
}


def keep_groups(router, biased):
    """`biased` within the router's best groups; with one group there is nothing to drop."""
    if router.num_groups == 1:
        return biased
    return keep_top_groups(biased, router.num_groups, router.top_groups)


@right
class AsTransformers(BiasedRouter):
    """Groups always formed, a scattered mask, 1e-20 in the divisor, unsorted choices."""

    def forward(self, x):
        logits = wide(self.gate(x))
        scores = logits.softmax(dim=-1) if self.affinity == "softmax" else logits.sigmoid()
        biased = scores + self.bias
        groups = biased.view(len(x), self.num_groups, -1)
        strength = groups.topk(min(2, groups.shape[-1]), dim=-1)[0].sum(dim=-1)
        kept = strength.topk(self.top_groups, dim=-1, sorted=False)[1]
        mask = torch.zeros_like(strength).scatter_(1, kept, 1)[..., None].expand_as(groups)
        biased = biased.masked_fill(~mask.reshape(biased.shape).bool(), float("-inf"))
        experts = torch.topk(biased, k=self.top_k, dim=-1, sorted=False)[1]
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / (gates.sum(dim=-1, keepdim=True) + 1e-20)
        return (gates * self.scale).to(x.dtype), experts


@right
class TokenByToken(BiasedRouter):
    """A loop over the tokens, which chooses by Python's own sorting."""

    def forward(self, x):
        gates, experts = [], []
        for token in x:
            logits = wide(self.gate.weight @ token)
            scores = logits.sigmoid() if self.affinity == "sigmoid" else logits.softmax(0)
            numbers = (scores + self.bias).tolist()
            chosen = self.best(numbers)
            total = above_zero(scores[chosen].sum()) if self.renormalise else 1
            gates.append((self.scale * scores[chosen] / total).to(x.dtype))
            experts.append(chosen)
        return torch.stack(gates), torch.tensor(experts)

    def best(self, numbers):
        """The numbers of the top_k experts within the top groups."""
        size = len(numbers) // self.num_groups
        groups = [range(i, i + size) for i in range(0, len(numbers), size)]
        groups.sort(key=lambda group: -sum(sorted(numbers[i] for i in group)[-2:]))
        allowed = [i for group in groups[: self.top_groups] for i in group]
        return sorted(allowed, key=lambda i: -numbers[i])[: self.top_k]


@right
class OtherLayout(BiasedRouter):
    """The weight as a (D, E) parameter of another name; from_hf needs the given one."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        del self.gate
        self.centroids = nn.Parameter(torch.randn(d_model, num_experts) * d_model**-0.5)

    def forward(self, x):
        logits = wide(x) @ wide(self.centroids)
        scores = getattr(torch, self.affinity)(logits, *self.dims())
        choice = keep_groups(self, scores + self.bias)
        experts = choice.argsort(dim=-1, descending=True)[:, : self.top_k]
        gates = scores.take_along_dim(experts, dim=-1)
        gates = F.normalize(gates, p=1, dim=-1) if self.renormalise else gates
        return (self.scale * gates).to(x.dtype), experts

    def dims(self):
        """The dimension that softmax asks for and sigmoid refuses."""
        return (-1,) if self.affinity == "softmax" else ()


@right
class DenseGates(BiasedRouter):
    """Gates for all experts, zero where not chosen, renormalised, then gathered by number."""

    def forward(self, x):
        logits = self.gate(x).to(torch.promote_types(x.dtype, torch.float32))
        scores = torch.sigmoid(logits) if self.affinity == "sigmoid" else F.softmax(logits, -1)
        with torch.no_grad():
            chosen = keep_groups(self, scores + self.bias).topk(self.top_k).indices
        dense = F.one_hot(chosen, scores.shape[1]).sum(dim=1) * scores
        if self.renormalise:
            dense = dense / above_zero(dense.sum(dim=-1, keepdim=True))
        experts = chosen.sort(dim=-1).values
        return (self.scale * dense).gather(-1, experts).to(x.dtype), experts


@right
class InLogarithms(BiasedRouter):
    """Logarithms of the affinities: renormalising them is a softmax over the chosen ones."""

    def forward(self, x):
        logits = wide(self.gate(x))
        logs = F.logsigmoid(logits) if self.affinity == "sigmoid" else logits.log_softmax(dim=-1)
        experts = keep_groups(self, logs.exp() + self.bias).topk(self.top_k, dim=-1).indices
        chosen = logs.gather(-1, experts)
        gates = chosen.softmax(dim=-1) if self.renormalise else chosen.exp()
        return gates.mul(self.scale).to(x.dtype), experts


@right
class AffinityInDouble(BiasedRouter):
    """Affinities and gates in float64, the gates back in the dtype of x."""

    def forward(self, x):
        logits = self.gate(x).double()
        if self.affinity == "sigmoid":
            scores = 1 / (1 + (-logits).exp())
        else:
            powers = (logits - logits.amax(dim=-1, keepdim=True)).exp()
            scores = powers / powers.sum(dim=-1, keepdim=True)
        experts = keep_groups(self, scores.detach() + self.bias.double()).topk(self.top_k)[1]
        gates = self.scale * scores.gather(1, experts)
        if self.renormalise:
            gates = gates / above_zero(scores.gather(1, experts).sum(dim=-1, keepdim=True))
        return gates.to(x.dtype), experts


@right
class ChosenOneByOne(BiasedRouter):
    """An argmax for each slot, with the experts already taken at minus infinity."""

    def forward(self, x):
        logits = F.linear(wide(x), wide(self.gate.weight))
        scores = {"sigmoid": logits.sigmoid(), "softmax": logits.softmax(-1)}[self.affinity]
        rest, experts = keep_groups(self, scores.detach() + self.bias).clone(), []
        for _ in range(self.top_k):
            experts.append(rest.argmax(dim=-1))
            rest[torch.arange(len(x)), experts[-1]] = float("-inf")
        experts = torch.stack(experts, dim=1)
        gates = scores[torch.arange(len(x))[:, None], experts]
        divisor = above_zero(gates.sum(1, keepdim=True)) if self.renormalise else gates.new_ones(1)
        return (self.scale * (gates / divisor)).to(x.dtype), experts


@right
class TinyNumberAdded(BiasedRouter):
    """1e-10 is added to the sum that divides."""

    def forward(self, x):
        logits = wide(self.gate(x))
        scores = logits.softmax(dim=-1) if self.affinity == "softmax" else logits.sigmoid()
        experts = keep_groups(self, scores + self.bias).topk(self.top_k, dim=-1).indices
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / (gates.sum(dim=-1, keepdim=True) + 1e-10)
        return (self.scale * gates).to(x.dtype), experts
