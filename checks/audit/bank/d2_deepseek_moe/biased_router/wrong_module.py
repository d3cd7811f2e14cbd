"""Wrong answers to D2.3b BiasedRouter: the kind of bias, types, gradients, memory."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.biased_router.steps import Stepwise, wide
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import update_bias


@wrong
class LearnableBias(Stepwise):
    """The bias is an nn.Parameter, which an optimiser takes for its own."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        del self.bias
        self.bias = nn.Parameter(torch.zeros(num_experts))


@wrong
class FrozenParameter(Stepwise):
    """The bias is an nn.Parameter without gradient: no buffer still."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        del self.bias
        self.bias = nn.Parameter(torch.zeros(num_experts), requires_grad=False)


@wrong
class PlainBias(Stepwise):
    """The bias is a plain attribute: it is not saved and does not move with the module."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        del self.bias
        self.bias = torch.zeros(num_experts)


@wrong
class BiasNotSaved(Stepwise):
    """A buffer that is not saved: a checkpoint forgets the bias."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        self.register_buffer("bias", torch.zeros(num_experts), persistent=False)


@wrong
class BiasOfLinear(Stepwise):
    """The bias is the linear layer's own: learned, and in the gates."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        self.gate = nn.Linear(d_model, num_experts, bias=True)


@wrong
class BiasAtRandom(Stepwise):
    """The bias starts at random numbers."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        self.bias.copy_(0.1 * torch.randn(num_experts))


@wrong
class UpdatesInForward(Stepwise):
    """Each forward pass in training mode moves the bias."""

    def forward(self, x):
        gates, experts = super().forward(x)
        if self.training:
            load = expert_load(experts, len(self.bias))
            self.bias.copy_(update_bias(self.bias, load, 0.001))
        return gates, experts


@wrong
class UpdatesBeforeChoice(Stepwise):
    """The bias is moved by this batch's own load before the experts are chosen."""

    def choose(self, scores):
        load = expert_load(super().choose(scores), len(self.bias))
        self.bias.copy_(update_bias(self.bias, load, 0.1))
        return super().choose(scores)


@wrong
class CentresBias(Stepwise):
    """Takes its mean off the bias in every forward pass."""

    def choose(self, scores):
        self.bias -= self.bias.mean()
        return super().choose(scores)


@wrong
class BiasAddedInPlace(Stepwise):
    """`scores += bias` on the affinities themselves: the gates carry it."""

    def choose(self, scores):
        scores.data += self.bias
        return self.grouped(scores.detach()).topk(self.top_k, dim=-1).indices


@wrong
class Int32Experts(Stepwise):
    """The experts as int32."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.int()


@wrong
class FloatExperts(Stepwise):
    """The experts as floats."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.to(gates.dtype)


@wrong
class Float32Gates(Stepwise):
    """The gates in float32, as DeepSeek's code has it, and never cast back."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.float(), experts


@wrong
class DetachedInput(Stepwise):
    """`detach` on x: the layers below hear nothing from the router."""

    def forward(self, x):
        return super().forward(x.detach())


@wrong
class WeightData(Stepwise):
    """`.data` on the weight: x gets its gradient and the router none."""

    def forward(self, x):
        scores = self.affinities(wide(x @ self.gate.weight.data.T))
        experts = self.choose(scores)
        return self.weigh(scores, experts).to(x.dtype), experts


@wrong
class EditsInput(Stepwise):
    """x is centred in place before it is routed."""

    def forward(self, x):
        x -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


@wrong
class Swapped(Stepwise):
    """Experts first, gates second."""

    def forward(self, x):
        return super().forward(x)[::-1]


@wrong
class GateForEveryExpert(Stepwise):
    """A gate for every expert, zero where it was not chosen."""

    def forward(self, x):
        gates, experts = super().forward(x)
        dense = torch.zeros(len(x), len(self.bias), dtype=x.dtype)
        return dense.scatter(1, experts, gates), experts


@wrong
class ScoresToo(Stepwise):
    """Three things returned: the affinities first, as transformers has the logits."""

    def forward(self, x):
        return self.affinities(self.gate(x)), *super().forward(x)


@wrong
class Squeezed(Stepwise):
    """`squeeze` loses an axis when there is one token or one choice."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates.squeeze(), experts.squeeze()


@wrong
class FourExperts(Stepwise):
    """Always four experts, whatever num_experts says."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, 4, top_k, **options)


@wrong
class FreshWeight(Stepwise):
    """A new linear layer in every forward pass."""

    def forward(self, x):
        self.gate = nn.Linear(x.shape[1], len(self.bias), bias=False, dtype=x.dtype)
        return super().forward(x)
