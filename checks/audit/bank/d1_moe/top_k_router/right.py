"""Right answers to D1.1 TopKRouter."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from solutions.d1_moe import TopKRouter


@right
class SoftmaxOverChosen(TopKRouter):
    """Softmax over the chosen logits only: the normaliser cancels."""

    def forward(self, x):
        logits, experts = self.gate(x).topk(self.top_k, dim=-1)
        return logits.softmax(dim=-1), experts


@right
class LeastFirst(TopKRouter):
    """The slots of a token in rising order of probability, gates and experts alike."""

    def forward(self, x):
        probs = F.softmax(self.gate(x), dim=-1)
        gates, experts = (y.flip(-1) for y in torch.topk(probs, self.top_k))
        return gates / gates.sum(-1, keepdim=True), experts


@right
class InExpertOrder(TopKRouter):
    """The slots of a token in the order of the experts' numbers."""

    def forward(self, x):
        probs = self.gate(x).softmax(-1)
        experts = probs.topk(self.top_k, sorted=False).indices.sort(-1).values
        gates = probs.gather(-1, experts)
        return F.normalize(gates, p=1, dim=-1), experts


@right
class ArgsortAndGather(TopKRouter):
    """A full argsort, cut after top_k, and a gather."""

    def forward(self, x):
        probs = self.gate(x).softmax(1)
        experts = probs.argsort(dim=1, descending=True)[:, : self.top_k]
        gates = torch.gather(probs, 1, experts)
        return torch.einsum("tk,t->tk", gates, 1 / gates.sum(1)), experts


@right
class TransposedWeight(TopKRouter):
    """A parameter of its own, (D, E) and under another name."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        del self.gate
        self.centroids = nn.Parameter(torch.randn(d_model, num_experts) * d_model**-0.5)

    def forward(self, x):
        probs = torch.einsum("td,de->te", x, self.centroids).softmax(dim=-1)
        gates, experts = probs.topk(self.top_k)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@right
class OneRowAnExpert(TopKRouter):
    """One small linear layer an expert."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        self.gate = nn.ModuleList(nn.Linear(d_model, 1, bias=False) for _ in range(num_experts))

    def forward(self, x):
        logits = torch.cat([row(x) for row in self.gate], dim=1)
        gates, experts = logits.topk(self.top_k)
        return gates.softmax(1), experts


@right
class MaskedSoftmax(TopKRouter):
    """Minus infinity for every expert that is not chosen, then one softmax."""

    def forward(self, x):
        logits = self.gate(x)
        experts = logits.topk(self.top_k, dim=-1).indices
        mask = torch.full_like(logits, float("-inf")).scatter(-1, experts, 0.0)
        return (logits + mask).softmax(dim=-1).gather(-1, experts), experts


@right
class TokenByToken(TopKRouter):
    """A loop over the tokens, stacked at the end."""

    def forward(self, x):
        gates, experts = [], []
        for token in x:
            probs = torch.softmax(self.gate(token), dim=0)
            values, indices = probs.topk(self.top_k)
            gates.append(values / values.sum())
            experts.append(indices)
        return torch.stack(gates), torch.stack(experts)


@right
class SoftmaxInDouble(TopKRouter):
    """The softmax in float64 and the gates back in the dtype of x."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1, dtype=torch.float64)
        gates, experts = probs.topk(self.top_k, dim=-1)
        return (gates / gates.sum(dim=-1, keepdim=True)).to(x.dtype), experts


@right
class ChosenOneByOne(TopKRouter):
    """An argmax for each slot, with the experts already taken out of the race."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        rest, experts = probs.detach().clone(), []
        for _ in range(self.top_k):
            experts.append(rest.argmax(dim=-1, keepdim=True))
            rest.scatter_(-1, experts[-1], -1.0)
        experts = torch.cat(experts, dim=-1)
        gates = probs.gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@right
class ExpByHand(TopKRouter):
    """The softmax written out, with the largest logit taken off first."""

    def forward(self, x):
        logits, experts = torch.sort(x @ self.gate.weight.T, dim=-1, descending=True)
        powers = (logits - logits[:, :1]).exp()[:, : self.top_k]
        return powers / powers.sum(dim=-1)[:, None], experts[:, : self.top_k]


@right
class DividedInPlace(TopKRouter):
    """The chosen probabilities divided in place, which autograd follows."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        gates /= gates.sum(dim=-1, keepdim=True)
        return gates, experts


@right
class SoftmaxInFloat32(TopKRouter):
    """The softmax in float32 at least, with the gates back in the dtype of x."""

    def forward(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        gates, experts = self.gate(x).softmax(dim=-1, dtype=wide).topk(self.top_k, dim=-1)
        return (gates / gates.sum(dim=-1, keepdim=True)).to(x.dtype), experts
