"""Wrong answers to D2.3b BiasedRouter: wrong choices."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.biased_router.steps import Stepwise
from checks.audit.bank.d2_deepseek_moe.keep_top_groups.wrong import (
    by_maximum,
    filled_with_zero,
    strided_groups,
)
from solutions.d2_deepseek_moe import keep_top_groups


@wrong
class BiasForgotten(Stepwise):
    """Chooses by the affinities alone."""

    def choose(self, scores):
        return self.grouped(scores.detach()).topk(self.top_k, dim=-1).indices


@wrong
class BiasSubtracted(Stepwise):
    """The bias is subtracted."""

    def choose(self, scores):
        return self.grouped(scores.detach() - self.bias).topk(self.top_k, dim=-1).indices


@wrong
class BiasOnLogits(Stepwise):
    """The bias is added to the logits, for choices only: another choice than by affinity."""

    def forward(self, x):
        logits = self.gate(x)
        experts = self.grouped((logits + self.bias).detach()).topk(self.top_k).indices
        return self.weigh(self.affinities(logits), experts), experts


@wrong
class BiasInsideAffinity(Stepwise):
    """The bias goes in before the sigmoid and so into the gates, as the plan's words read."""

    def affinities(self, logits):
        return super().affinities(logits + self.bias)

    def choose(self, scores):
        return self.grouped(scores.detach()).topk(self.top_k, dim=-1).indices


@wrong
class BiasMultiplies(Stepwise):
    """The affinities times 1 + bias."""

    def choose(self, scores):
        return self.grouped(scores.detach() * (1 + self.bias)).topk(self.top_k, dim=-1).indices


@wrong
class BiasTwice(Stepwise):
    """The bias added once for the groups and once more for the experts."""

    def choose(self, scores):
        return (self.grouped(scores.detach() + self.bias) + self.bias).topk(self.top_k).indices


@wrong
class GroupsAtMinusTen(Stepwise):
    """-10 outside the best groups, where -inf belongs: a bias that has drifted below it loses."""

    def grouped(self, biased):
        kept = super().grouped(biased)
        return kept.masked_fill(kept.isneginf(), -10.0)


@wrong
class BiasClamped(Stepwise):
    """The bias counts at most 0.1 either way."""

    def choose(self, scores):
        biased = scores.detach() + self.bias.clamp(-0.1, 0.1)
        return self.grouped(biased).topk(self.top_k, dim=-1).indices


@wrong
class BiasWhileTraining(Stepwise):
    """The bias counts in training mode only."""

    def choose(self, scores):
        bias = self.bias if self.training else 0
        return self.grouped(scores.detach() + bias).topk(self.top_k, dim=-1).indices


@wrong
class BiasOfTheChosen(Stepwise):
    """The bias only reorders experts already chosen without it."""

    def choose(self, scores):
        chosen = self.grouped(scores.detach()).topk(self.top_k, dim=-1).indices
        biased = (scores.detach() + self.bias).gather(1, chosen)
        return chosen.gather(1, biased.argsort(dim=-1, descending=True))


@wrong
class NormalisedBeforeBias(Stepwise):
    """The affinities are divided by their sum over all experts before the bias is added."""

    def choose(self, scores):
        shares = (scores / scores.sum(dim=-1, keepdim=True)).detach()
        return self.grouped(shares + self.bias).topk(self.top_k, dim=-1).indices


@wrong
class NoGroups(Stepwise):
    """Groups are ignored."""

    def grouped(self, biased):
        return biased


@wrong
class GroupsFromAffinities(Stepwise):
    """The groups are chosen without the bias."""

    def choose(self, scores):
        kept = self.grouped(scores.detach()).isfinite()
        biased = (scores.detach() + self.bias).masked_fill(~kept, -torch.inf)
        return biased.topk(self.top_k, dim=-1).indices


@wrong
class BiasForGroupsOnly(Stepwise):
    """The bias chooses the groups; within them the affinities choose."""

    def choose(self, scores):
        kept = self.grouped(scores.detach() + self.bias).isfinite()
        return scores.detach().masked_fill(~kept, -torch.inf).topk(self.top_k).indices


@wrong
class MaskedWithZeros(Stepwise):
    """0 outside the groups kept, which beats a negative biased affinity."""

    def grouped(self, biased):
        if self.num_groups == 1:
            return biased
        return filled_with_zero(biased, self.num_groups, self.top_groups)


@wrong
class GroupsByMaximum(Stepwise):
    """V2's rule: a group counts as much as its highest score."""

    def grouped(self, biased):
        if self.num_groups == 1:
            return biased
        return by_maximum(biased, self.num_groups, self.top_groups)


@wrong
class StridedGroups(Stepwise):
    """Groups of experts that are not neighbours."""

    def grouped(self, biased):
        if self.num_groups == 1:
            return biased
        return strided_groups(biased, self.num_groups, self.top_groups)


@wrong
class BestGroupOnly(Stepwise):
    """All top_k from the one best group where they fit in."""

    def grouped(self, biased):
        kept = super().grouped(biased)
        if self.num_groups == 1 or self.top_k > kept.shape[1] // self.num_groups:
            return kept
        return keep_top_groups(biased, self.num_groups, 1)


@wrong
class SigmoidAlways(Stepwise):
    """affinity is ignored: always a sigmoid."""

    def affinities(self, logits):
        return logits.sigmoid()


@wrong
class SoftmaxAlways(Stepwise):
    """affinity is ignored: always a softmax."""

    def affinities(self, logits):
        return logits.softmax(dim=-1)


@wrong
class SoftmaxOverTokens(Stepwise):
    """The softmax runs over the tokens."""

    def affinities(self, logits):
        return logits.softmax(dim=0) if self.affinity == "softmax" else logits.sigmoid()


@wrong
class SigmoidOfSoftmax(Stepwise):
    """A sigmoid on top of the softmax."""

    def affinities(self, logits):
        return super().affinities(logits).sigmoid()


@wrong
class ScaledLogits(Stepwise):
    """The logits divided by sqrt(d_model), out of habit from attention."""

    def affinities(self, logits):
        return super().affinities(logits / self.gate.in_features**0.5)


@wrong
class NoisyTraining(Stepwise):
    """Noise on the scores while training, as in the first sparse MoE."""

    def choose(self, scores):
        noise = torch.randn_like(scores) if self.training else 0
        return super().choose(scores + noise)


@wrong
class LeastLikely(Stepwise):
    """The k smallest biased affinities."""

    def choose(self, scores):
        biased = self.grouped(scores.detach() + self.bias)
        biased = biased.masked_fill(biased.isneginf(), torch.inf)
        return biased.topk(self.top_k, dim=-1, largest=False).indices


@wrong
class FirstTokenDecides(Stepwise):
    """All tokens go where the first one goes."""

    def choose(self, scores):
        return super().choose(scores)[:1].expand(len(scores), -1)


@wrong
class BestTokens(Stepwise):
    """topk over dim 0: the numbers of tokens, not of experts."""

    def choose(self, scores):
        order = self.grouped(scores.detach() + self.bias).argsort(dim=0, descending=True)
        return (order % scores.shape[1])[:, : self.top_k]


@wrong
class TopTwo(Stepwise):
    """Always two experts, whatever top_k says."""

    def choose(self, scores):
        return self.grouped(scores.detach() + self.bias).topk(2, dim=-1).indices


@wrong
class NormalisedInput(Stepwise):
    """The input is brought to length one before it is routed."""

    def forward(self, x):
        return super().forward(F.normalize(x, dim=-1))
