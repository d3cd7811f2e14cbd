"""Wrong answers to D1.1 TopKRouter: types, gradients, memory, sizes."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.top_k_router.steps import chosen
from solutions.d1_moe import TopKRouter


@wrong
class Int32Experts(TopKRouter):
    """The experts as int32."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.int()


@wrong
class FloatExperts(TopKRouter):
    """The experts as floats."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.to(gates.dtype)


@wrong
class Float32Gates(TopKRouter):
    """The softmax in float32, as DeepSeek's code has it, and never cast back."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1, dtype=torch.float32), self.top_k)


@wrong
class DetachedProbabilities(TopKRouter):
    """`detach` on the probabilities: the router never learns."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1).detach(), self.top_k)


@wrong
class WeightData(TopKRouter):
    """`.data` on the weight: x gets its gradient and the router none."""

    def forward(self, x):
        return chosen((x @ self.gate.weight.data.T).softmax(dim=-1), self.top_k)


@wrong
class DetachedInput(TopKRouter):
    """`detach` on x: the router learns and the layers below hear nothing from it."""

    def forward(self, x):
        return chosen(self.gate(x.detach()).softmax(dim=-1), self.top_k)


@wrong
class DetachedDivisor(TopKRouter):
    """The sum as Python numbers: right gates, wrong gradient."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        sums = [[sum(row)] for row in gates.tolist()]
        return gates / torch.tensor(sums, dtype=gates.dtype), experts


@wrong
class NumbersCopied(TopKRouter):
    """Gates put together from Python floats."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return torch.tensor(gates.tolist(), dtype=x.dtype), experts


@wrong
class EditsInput(TopKRouter):
    """x is centred in place before it is routed."""

    def forward(self, x):
        x -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


@wrong
class TopTwo(TopKRouter):
    """Always two experts, whatever top_k says."""

    def forward(self, x):
        return chosen(self.gate(x).softmax(dim=-1), 2)


@wrong
class FourExperts(TopKRouter):
    """Always four experts, whatever num_experts says."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        self.gate = nn.Linear(d_model, 4, bias=False)


@wrong
class NoisyTraining(TopKRouter):
    """Noise on the logits while training, as in the first sparse MoE."""

    def forward(self, x):
        logits = self.gate(x)
        if self.training:
            logits = logits + torch.randn_like(logits)
        return chosen(logits.softmax(dim=-1), self.top_k)


@wrong
class ArgmaxOnly(TopKRouter):
    """The best expert in every slot."""

    def forward(self, x):
        experts = self.gate(x).argmax(dim=-1, keepdim=True).expand(-1, self.top_k)
        gates = self.gate(x).softmax(dim=-1).gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class Swapped(TopKRouter):
    """Experts first, gates second."""

    def forward(self, x):
        return super().forward(x)[::-1]


@wrong
class DenseGates(TopKRouter):
    """A gate for every expert, zero where it was not chosen."""

    def forward(self, x):
        gates, experts = super().forward(x)
        dense = torch.zeros(len(x), self.gate.out_features, dtype=x.dtype)
        return dense.scatter(1, experts, gates), experts


@wrong
class AsLists(TopKRouter):
    """Nested Python lists."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.tolist(), experts.tolist()


@wrong
class Squeezed(TopKRouter):
    """`squeeze` loses an axis when there is one token or one choice."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.squeeze(), experts.squeeze()


@wrong
class FirstTokenDecides(TopKRouter):
    """All tokens go where the first one goes."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        experts = probs[0].topk(self.top_k).indices.expand(len(x), -1)
        gates = probs.gather(-1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class CentredOnBatch(TopKRouter):
    """Logits less their mean over the tokens: a token's choice depends on its neighbours."""

    def forward(self, x):
        logits = self.gate(x)
        return chosen((logits - logits.mean(dim=0)).softmax(dim=-1), self.top_k)


@wrong
class FreshWeight(TopKRouter):
    """A new linear layer in every forward pass."""

    def forward(self, x):
        gate = nn.Linear(x.shape[-1], self.gate.out_features, bias=False, dtype=x.dtype)
        return chosen(gate(x).softmax(dim=-1), self.top_k)


@wrong
class UnregisteredWeight(TopKRouter):
    """The weight is a plain tensor, so PyTorch does not know it."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        del self.gate
        self.weight = torch.randn(d_model, num_experts, requires_grad=True)

    def forward(self, x):
        return chosen((x @ self.weight.to(x.dtype)).softmax(dim=-1), self.top_k)


@wrong
class LogitBias(TopKRouter):
    """nn.Linear with its bias left on."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        self.gate = nn.Linear(d_model, num_experts)
