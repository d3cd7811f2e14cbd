"""Wrong answers to D2.3b BiasedRouter: wrong gates."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.biased_router.steps import Stepwise, above_zero


@wrong
class BiasInGates(Stepwise):
    """The gates are the biased affinities: the common leak."""

    def weigh(self, scores, experts):
        return super().weigh(scores + self.bias, experts)


@wrong
class BiasInDivisor(Stepwise):
    """The biased affinities in the divisor only."""

    def weigh(self, scores, experts):
        gates = self.scale * scores.gather(1, experts)
        if not self.renormalise:
            return gates
        return gates / (scores + self.bias).gather(1, experts).sum(dim=-1, keepdim=True)


@wrong
class LeakWithoutRenormalise(Stepwise):
    """The bias leaks into the gates where they are not renormalised."""

    def weigh(self, scores, experts):
        return super().weigh(scores if self.renormalise else scores + self.bias, experts)


@wrong
class NeverRenormalised(Stepwise):
    """renormalise is ignored: never."""

    def weigh(self, scores, experts):
        return self.scale * scores.gather(1, experts)


@wrong
class AlwaysRenormalised(Stepwise):
    """renormalise is ignored: always."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        return self.scale * gates / gates.sum(dim=-1, keepdim=True)


@wrong
class RenormalisedWithSigmoid(Stepwise):
    """Renormalised if the affinity is a sigmoid, as DeepSeek's code, whatever renormalise says."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.affinity == "sigmoid":
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return self.scale * gates


@wrong
class OverAllExperts(Stepwise):
    """Divided by the sum over all experts."""

    def weigh(self, scores, experts):
        gates = self.scale * scores.gather(1, experts)
        return gates / scores.sum(dim=-1, keepdim=True) if self.renormalise else gates


@wrong
class OverTokens(Stepwise):
    """Each slot is divided by its sum over the tokens."""

    def weigh(self, scores, experts):
        gates = self.scale * scores.gather(1, experts)
        return gates / scores.gather(1, experts).sum(dim=0) if self.renormalise else gates


@wrong
class SoftmaxedGates(Stepwise):
    """A softmax over the chosen affinities instead of the division."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        return self.scale * (gates.softmax(dim=-1) if self.renormalise else gates)


@wrong
class LooseEpsilon(Stepwise):
    """A thousandth added to the divisor."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / (gates.sum(dim=-1, keepdim=True) + 1e-3)
        return self.scale * gates


@wrong
class ScaleForgotten(Stepwise):
    """scale is never used."""

    def weigh(self, scores, experts):
        return super().weigh(scores, experts) / self.scale


@wrong
class ScaleBeforeRenormalise(Stepwise):
    """Scaled before the division, where it cancels."""

    def weigh(self, scores, experts):
        gates = self.scale * scores.gather(1, experts)
        return gates / gates.sum(dim=-1, keepdim=True) if self.renormalise else gates


@wrong
class ScaleOnlyRenormalised(Stepwise):
    """Scaled only where the gates are renormalised."""

    def weigh(self, scores, experts):
        gates = super().weigh(scores, experts)
        return gates if self.renormalise else gates / self.scale


@wrong
class ScaleTwice(Stepwise):
    """scale is applied twice."""

    def weigh(self, scores, experts):
        return self.scale * super().weigh(scores, experts)


@wrong
class ScaleDivides(Stepwise):
    """The gates are divided by scale."""

    def weigh(self, scores, experts):
        return super().weigh(scores, experts) / self.scale**2


@wrong
class PublishedScale(Stepwise):
    """V3's 2.5, whatever scale says."""

    def weigh(self, scores, experts):
        return 2.5 * super().weigh(scores, experts) / self.scale


@wrong
class ScaledAffinities(Stepwise):
    """The affinities are scaled before the bias is added: the bias weighs less."""

    def choose(self, scores):
        return super().choose(self.scale * scores)


@wrong
class EqualGates(Stepwise):
    """Every chosen expert counts the same share."""

    def weigh(self, scores, experts):
        gates = super().weigh(scores, experts)
        return gates.mean(dim=-1, keepdim=True).expand_as(gates)


@wrong
class LogitsAsGates(Stepwise):
    """Chooses by affinity and weighs by the logits."""

    def forward(self, x):
        logits = self.gate(x)
        experts = self.choose(self.affinities(logits))
        gates = self.scale * logits.gather(1, experts)
        return gates / gates.sum(dim=-1, keepdim=True) if self.renormalise else gates, experts


@wrong
class GatesAndExpertsApart(Stepwise):
    """The gates in falling order, the experts by biased affinity: the pairs do not match."""

    def weigh(self, scores, experts):
        return super().weigh(scores, experts).sort(dim=-1, descending=True).values


@wrong
class ExpertsSorted(Stepwise):
    """The experts by number, the gates as they were: the pairs do not match."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts.sort(dim=-1).values


@wrong
class BestAffinities(Stepwise):
    """The gates of the experts that would be chosen without bias."""

    def weigh(self, scores, experts):
        return super().weigh(scores, scores.topk(self.top_k, dim=-1).indices)


@wrong
class DetachedGates(Stepwise):
    """Detached affinities: the router never learns."""

    def weigh(self, scores, experts):
        return super().weigh(scores.detach(), experts)


@wrong
class DetachedDivisor(Stepwise):
    """The divisor is detached: right gates, wrong gradient."""

    def weigh(self, scores, experts):
        gates = scores.gather(1, experts)
        if self.renormalise:
            gates = gates / above_zero(gates.detach().sum(dim=-1, keepdim=True))
        return self.scale * gates


@wrong
class StraightThrough(Stepwise):
    """A straight-through term that is zero and doubles the gradient."""

    def weigh(self, scores, experts):
        gates, chosen = super().weigh(scores, experts), scores.gather(1, experts)
        return gates + (chosen - chosen.detach())


@wrong
class HardGates(Stepwise):
    """Straight-through gates: ones forward, affinities backward."""

    def weigh(self, scores, experts):
        gates = super().weigh(scores, experts)
        return torch.ones_like(gates) + gates - gates.detach()
