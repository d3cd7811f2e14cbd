"""D1.1 TopKRouter, answered in a wrong form: types, gradients, memory, sizes."""

import torch
from torch import nn

from checks.answers.bank import Bank
from checks.answers.d1_router_wrong import chosen
from solutions.d1_moe import TopKRouter

bank = Bank("d1_moe")


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
