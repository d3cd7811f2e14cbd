"""D2.3d DeepSeekMoE, answered with the wrong function."""

import torch
from torch import nn

from checks.answers.bank import Bank
from solutions.d1_moe import dispatch_combine
from solutions.d2_deepseek_moe import (
    DeepSeekMoE,
    SharedExperts,
    merge_segments,
    segment_tokens,
)

bank = Bank("d2_deepseek_moe")


class Stepwise(DeepSeekMoE):
    """The right layer in steps, of which an answer below spoils one."""

    def cut(self, tokens):
        """(T·m, D/m)."""
        return segment_tokens(tokens, self.num_segments)

    def merge(self, rows):
        """(T, D)."""
        return merge_segments(rows, self.num_segments)

    def route(self, rows):
        """Gates and experts of the rows."""
        return self.router(rows)

    def routed(self, tokens):
        """What the routed experts make of the tokens."""
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        return self.merge(dispatch_combine(rows, gates, self.last_experts, self.experts))

    def both(self, tokens):
        """The sum of routed and shared experts."""
        return self.routed(tokens) + self.shared(tokens)

    def forward(self, x):
        """(B, L, D)."""
        return self.both(x.reshape(-1, x.shape[-1])).reshape(x.shape)


@bank.wrong("D2.3d")
class SharedForgotten(Stepwise):
    """The routed experts only."""

    def both(self, tokens):
        return self.routed(tokens)


@bank.wrong("D2.3d")
class SharedOnly(Stepwise):
    """The routed experts run, and their output is dropped."""

    def both(self, tokens):
        self.routed(tokens)
        return self.shared(tokens)


@bank.wrong("D2.3d")
class SharedScaled(Stepwise):
    """The router's scale on the shared experts too."""

    def both(self, tokens):
        return self.routed(tokens) + self.router.scale * self.shared(tokens)


@bank.wrong("D2.3d")
class ScaledAgain(Stepwise):
    """The router's scale once more on what is routed."""

    def both(self, tokens):
        return self.router.scale * self.routed(tokens) + self.shared(tokens)


@bank.wrong("D2.3d")
class SharedTwice(Stepwise):
    """The shared output added to each expert's side: twice in all."""

    def both(self, tokens):
        return self.routed(tokens) + 2 * self.shared(tokens)


@bank.wrong("D2.3d")
class SharedPerSegment(Stepwise):
    """The shared output added once for every segment."""

    def both(self, tokens):
        return self.routed(tokens) + self.num_segments * self.shared(tokens)


@bank.wrong("D2.3d")
class SharedAveraged(Stepwise):
    """The mean of routed and shared."""

    def both(self, tokens):
        return (self.routed(tokens) + self.shared(tokens)) / 2


@bank.wrong("D2.3d")
class SharedGated(Stepwise):
    """Shared experts get what the gates leave of one: an expert among the others."""

    def both(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        routed = dispatch_combine(rows, gates, self.last_experts, self.experts)
        left = 1 - self.merge(gates.sum(dim=-1, keepdim=True).expand_as(rows))
        return self.merge(routed) + left * self.shared(tokens)


@bank.wrong("D2.3d")
class SharedAfterRouted(Stepwise):
    """The shared experts read what the routed ones made."""

    def both(self, tokens):
        return self.shared(self.routed(tokens))


@bank.wrong("D2.3d")
class SharedBeforeRouted(Stepwise):
    """The routed experts read what the shared ones made."""

    def both(self, tokens):
        shared = self.shared(tokens)
        return self.routed(shared) + shared


@bank.wrong("D2.3d")
class SharedOnSegments(Stepwise):
    """Shared experts as wide as a slice, on each slice."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.shared = SharedExperts(d_model // self.num_segments, expert_dim, num_shared)

    def both(self, tokens):
        return self.routed(tokens) + self.merge(self.shared(self.cut(tokens)))


@bank.wrong("D2.3d")
class SharedWhileTraining(Stepwise):
    """The shared experts are left out in evaluation."""

    def both(self, tokens):
        routed = self.routed(tokens)
        return routed + self.shared(tokens) if self.training else routed


@bank.wrong("D2.3d")
class SharedDropped(Stepwise):
    """Dropout on the shared experts."""

    def both(self, tokens):
        shared = nn.functional.dropout(self.shared(tokens), 0.5, self.training)
        return self.routed(tokens) + shared


@bank.wrong("D2.3d")
class AddsResidual(Stepwise):
    """Adds x, which is the block's job; the paper's formula has it inside."""

    def both(self, tokens):
        return tokens + super().both(tokens)


@bank.wrong("D2.3d")
class GatesTwice(Stepwise):
    """The gates are squared."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates**2, experts


@bank.wrong("D2.3d")
class GatesIgnored(Stepwise):
    """Adds the chosen experts up unweighted."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return torch.ones_like(gates), experts


@bank.wrong("D2.3d")
class BiasInGates(Stepwise):
    """The bias of the chosen experts is added to their gates."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates + self.router.bias[experts], experts


@bank.wrong("D2.3d")
class RenormalisedAgain(Stepwise):
    """The gates divided by their sum once more: the scale is gone."""

    def route(self, rows):
        gates, experts = self.router(rows)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@bank.wrong("D2.3d")
class FirstChoiceOnly(Stepwise):
    """Dispatches slot 0 only, and remembers all."""

    def routed(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        first = gates[:, :1], self.last_experts[:, :1]
        return self.merge(dispatch_combine(rows, *first, self.experts))
