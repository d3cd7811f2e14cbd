"""Wrong answers to D2.3d DeepSeekMoE: the wrong function."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.deepseek_moe.steps import Stepwise
from solutions.d1_moe import dispatch_combine
from solutions.d2_deepseek_moe import SharedExperts


@wrong
class SharedForgotten(Stepwise):
    """The routed experts only."""

    def both(self, tokens):
        return self.routed(tokens)


@wrong
class SharedOnly(Stepwise):
    """The routed experts run, and their output is dropped."""

    def both(self, tokens):
        self.routed(tokens)
        return self.shared(tokens)


@wrong
class SharedScaled(Stepwise):
    """The router's scale on the shared experts too."""

    def both(self, tokens):
        return self.routed(tokens) + self.router.scale * self.shared(tokens)


@wrong
class ScaledAgain(Stepwise):
    """The router's scale once more on what is routed."""

    def both(self, tokens):
        return self.router.scale * self.routed(tokens) + self.shared(tokens)


@wrong
class SharedTwice(Stepwise):
    """The shared output added to each expert's side: twice in all."""

    def both(self, tokens):
        return self.routed(tokens) + 2 * self.shared(tokens)


@wrong
class SharedPerSegment(Stepwise):
    """The shared output added once for every segment."""

    def both(self, tokens):
        return self.routed(tokens) + self.num_segments * self.shared(tokens)


@wrong
class SharedAveraged(Stepwise):
    """The mean of routed and shared."""

    def both(self, tokens):
        return (self.routed(tokens) + self.shared(tokens)) / 2


@wrong
class SharedGated(Stepwise):
    """Shared experts get what the gates leave of one: an expert among the others."""

    def both(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        routed = dispatch_combine(rows, gates, self.last_experts, self.experts)
        left = 1 - self.merge(gates.sum(dim=-1, keepdim=True).expand_as(rows))
        return self.merge(routed) + left * self.shared(tokens)


@wrong
class SharedAfterRouted(Stepwise):
    """The shared experts read what the routed ones made."""

    def both(self, tokens):
        return self.shared(self.routed(tokens))


@wrong
class SharedBeforeRouted(Stepwise):
    """The routed experts read what the shared ones made."""

    def both(self, tokens):
        shared = self.shared(tokens)
        return self.routed(shared) + shared


@wrong
class SharedOnSegments(Stepwise):
    """Shared experts as wide as a slice, on each slice."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.shared = SharedExperts(d_model // self.num_segments, expert_dim, num_shared)

    def both(self, tokens):
        return self.routed(tokens) + self.merge(self.shared(self.cut(tokens)))


@wrong
class SharedWhileTraining(Stepwise):
    """The shared experts are left out in evaluation."""

    def both(self, tokens):
        routed = self.routed(tokens)
        return routed + self.shared(tokens) if self.training else routed


@wrong
class SharedDropped(Stepwise):
    """Dropout on the shared experts."""

    def both(self, tokens):
        shared = nn.functional.dropout(self.shared(tokens), 0.5, self.training)
        return self.routed(tokens) + shared


@wrong
class AddsResidual(Stepwise):
    """Adds x, which is the block's job; the paper's formula has it inside."""

    def both(self, tokens):
        return tokens + super().both(tokens)


@wrong
class GatesTwice(Stepwise):
    """The gates are squared."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates**2, experts


@wrong
class GatesIgnored(Stepwise):
    """Adds the chosen experts up unweighted."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return torch.ones_like(gates), experts


@wrong
class BiasInGates(Stepwise):
    """The bias of the chosen experts is added to their gates."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates + self.router.bias[experts], experts


@wrong
class RenormalisedAgain(Stepwise):
    """The gates divided by their sum once more: the scale is gone."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class FirstChoiceOnly(Stepwise):
    """Dispatches slot 0 only, and remembers all."""

    def routed(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        first = gates[:, :1], self.last_experts[:, :1]
        return self.merge(dispatch_combine(rows, *first, self.experts))
