"""Wrong answers to D2.1 SharedExperts: the wrong function."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.experts import Biased, GeGLU
from checks.audit.bank.d2_deepseek_moe.shared_experts.right import ListSummed
from solutions.d2_deepseek_moe import SharedExperts


@wrong
class Averaged(ListSummed):
    """The mean of the experts' outputs."""

    def forward(self, x):
        return torch.stack([expert(x) for expert in self.experts]).mean(dim=0)


@wrong
class OverRootOfNumber(ListSummed):
    """The sum divided by sqrt(num_shared)."""

    def forward(self, x):
        return super().forward(x) / math.sqrt(len(self.experts))


@wrong
class FirstOnly(ListSummed):
    """Only the first expert answers."""

    def forward(self, x):
        return self.experts[0](x)


@wrong
class LastOnly(ListSummed):
    """`y = expert(x)` where `y = y + expert(x)` belongs."""

    def forward(self, x):
        for expert in self.experts:
            y = expert(x)
        return y


@wrong
class OneAfterTheOther(ListSummed):
    """Each expert reads what the one before it made."""

    def forward(self, x):
        for expert in self.experts:
            x = expert(x)
        return x


@wrong
class SumFedOn(ListSummed):
    """Each expert reads the input plus what stands already."""

    def forward(self, x):
        y = x
        for expert in self.experts:
            y = y + expert(y)
        return y - x


@wrong
class StrongestOnly(ListSummed):
    """The elementwise maximum of the experts' outputs."""

    def forward(self, x):
        return torch.stack([expert(x) for expert in self.experts]).amax(dim=0)


@wrong
class SideBySide(ListSummed):
    """The outputs joined along the features: num_shared times too wide."""

    def forward(self, x):
        return torch.cat([expert(x) for expert in self.experts], dim=-1)


@wrong
class NotSummed(ListSummed):
    """The outputs stacked and left so."""

    def forward(self, x):
        return torch.stack([expert(x) for expert in self.experts], dim=-2)


@wrong
class FeaturesSummed(ListSummed):
    """Stacked on a last axis and summed over the features instead."""

    def forward(self, x):
        return torch.stack([expert(x) for expert in self.experts], dim=-1).sum(dim=-2)


@wrong
class GatedBySoftmax(ListSummed):
    """A softmax gate over the shared experts."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.router = nn.Linear(d_model, num_shared, bias=False)

    def forward(self, x):
        gates = self.router(x).softmax(dim=-1)
        return torch.einsum(
            "...n,...nd->...d", gates, torch.stack([e(x) for e in self.experts], dim=-2)
        )


@wrong
class GatedBySigmoid(SharedExperts):
    """One sigmoid gate on the output, as Qwen's shared expert has it."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.gate = nn.Linear(d_model, 1, bias=False)

    def forward(self, x):
        return self.gate(x).sigmoid() * self.experts(x)


@wrong
class LearnedWeights(ListSummed):
    """A learned weight an expert, one at the start: right value, parameters too many."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.weight = nn.Parameter(torch.ones(num_shared))

    def forward(self, x):
        return sum(w * expert(x) for w, expert in zip(self.weight, self.experts, strict=True))


@wrong
class AddsResidual(SharedExperts):
    """Adds x, which is the block's job."""

    def forward(self, x):
        return x + self.experts(x)


@wrong
class ResidualEach(ListSummed):
    """Each expert adds x once more."""

    def forward(self, x):
        return sum(x + expert(x) for expert in self.experts)


@wrong
class NormalisedInput(SharedExperts):
    """A layer norm on x first, which is the block's job."""

    def forward(self, x):
        return self.experts(F.layer_norm(x, x.shape[-1:]))


@wrong
class ReluNetwork(SharedExperts):
    """Two linear layers with a ReLU between them, half as wide again: as many parameters."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        width = 3 * num_shared * expert_dim // 2
        self.experts = nn.Sequential(
            nn.Linear(d_model, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, d_model, bias=False),
        )


@wrong
class GeluGate(SharedExperts):
    """GELU where SwiGLU has SiLU."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = GeGLU(d_model, num_shared * expert_dim)


@wrong
class WithBiases(SharedExperts):
    """Linear layers with their bias left on."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = Biased(d_model, num_shared * expert_dim)


@wrong
class DropsWhileTraining(SharedExperts):
    """Dropout on the output."""

    def forward(self, x):
        return F.dropout(self.experts(x), 0.5, self.training)
