"""Wrong answers to D2.3b BiasedRouter: narrow types, underflow, top_k = 1, modes and seeds."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.biased_router.steps import Stepwise, wide


@wrong
class NarrowThroughout(Stepwise):
    """Everything in the type of x: in bfloat16 affinities that differ look alike."""

    def forward(self, x):
        scores = self.affinities(self.gate(x))
        experts = self.choose(scores)
        return self.weigh(scores, experts).to(x.dtype), experts


@wrong
class NarrowChoice(Stepwise):
    """Affinities in float32, and the bias added in the type of x."""

    def forward(self, x):
        scores = self.affinities(self.gate(x).to(torch.promote_types(x.dtype, torch.float32)))
        biased = scores.detach().to(x.dtype) + self.bias.to(x.dtype)
        experts = self.grouped(biased).topk(self.top_k, dim=-1).indices
        return self.weigh(scores, experts).to(x.dtype), experts


@wrong
class CastsBias(Stepwise):
    """The bias is cast with the weights: `.half()` makes it float16."""

    _apply = nn.Module._apply


@wrong
class Float32Throughout(Stepwise):
    """Float32 inside whatever x is: float64 loses its digits."""

    def affinities(self, logits):
        return super().affinities(logits.float())


@wrong
class WideGates(Stepwise):
    """The gates come back in float32 where x is narrower."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return (gates.float() if x.dtype.itemsize < 4 else gates), experts


@wrong
class ZeroOverZero(Stepwise):
    """Nothing keeps the sum above 0: NaN where all affinities underflow."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return self.scale * gates


@wrong
class ClampedAtAHundredth(Stepwise):
    """The sum clamped at 0.01: small affinities no longer make gates that sum to the scale."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True).clamp(min=1e-2)
        return self.scale * gates


@wrong
class ClampedAtEpsilon(Stepwise):
    """The sum clamped at finfo.eps, which is a distance from 1 and not the least number."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True).clamp(min=torch.finfo().eps)
        return self.scale * gates


@wrong
class NarrowBeforeDivision(Stepwise):
    """The chosen affinities cast to the type of x before they are divided by their sum."""

    def forward(self, x):
        scores = self.affinities(wide(self.gate(x)))
        experts = self.choose(scores)
        return self.weigh(scores.to(x.dtype), experts), experts


@wrong
class RenormalisedAboveOne(Stepwise):
    """`if self.top_k > 1 and self.renormalise`, as DeepSeek's code on the Hub."""

    def weigh(self, scores, experts):
        if self.top_k == 1:
            return self.scale * scores.gather(1, experts)
        return super().weigh(scores, experts)


@wrong
class OneForTopOne(Stepwise):
    """A gate of 1 for top_k = 1, without the scale."""

    def weigh(self, scores, experts):
        gates = super().weigh(scores, experts)
        return torch.ones_like(gates) if self.top_k == 1 and self.renormalise else gates


@wrong
class ScaledInEvaluation(Stepwise):
    """The scale only outside training, as if it were a correction."""

    def weigh(self, scores, experts):
        gates = super().weigh(scores, experts)
        return gates / self.scale if self.training else gates


@wrong
class LeakWhileTraining(Stepwise):
    """The bias leaks into the gates while training."""

    def weigh(self, scores, experts):
        return super().weigh(scores + self.bias if self.training else scores, experts)


@wrong
class LeakInEvaluation(Stepwise):
    """The bias leaks into the gates outside training."""

    def weigh(self, scores, experts):
        return super().weigh(scores if self.training else scores + self.bias, experts)


@wrong
class SeedInForward(Stepwise):
    """torch.manual_seed in forward."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class DoubleBias(Stepwise):
    """The bias is made in float64, whatever the caller's type is."""

    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, num_experts, top_k, **options)
        self.bias = self.bias.double()
