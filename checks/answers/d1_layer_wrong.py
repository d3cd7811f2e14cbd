"""D1.5 MoELayer, answered wrongly."""

import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d1_moe import ExpertArray, MoELayer, TopKRouter, dispatch_combine

bank = Bank("d1_moe")


@bank.wrong("D1.5")
class AddsResidual(MoELayer):
    """Adds x, which is the block's job."""

    def forward(self, x):
        return x + super().forward(x)


@bank.wrong("D1.5")
class RemembersNothing(MoELayer):
    """No last_experts."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, experts = self.router(tokens)
        return dispatch_combine(tokens, gates, experts, self.experts).reshape(x.shape)


@bank.wrong("D1.5")
class RemembersByBatch(MoELayer):
    """last_experts of shape (B, L, K)."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts.unflatten(0, x.shape[:2])
        return y


@bank.wrong("D1.5")
class RemembersFirst(MoELayer):
    """last_experts of the first forward pass for ever."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if before is not None:
            self.last_experts = before
        return y


@bank.wrong("D1.5")
class RemembersWhileTraining(MoELayer):
    """last_experts only in training mode: stale in evaluation."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if not self.training:
            self.last_experts = before
        return y


@bank.wrong("D1.5")
class RemembersAll(MoELayer):
    """last_experts grows by every forward pass."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if before is not None:
            self.last_experts = torch.cat([before, self.last_experts])
        return y


@bank.wrong("D1.5")
class RemembersGates(MoELayer):
    """The gates under the name of last_experts."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        self.last_experts, experts = self.router(tokens)
        y = dispatch_combine(tokens, self.last_experts, experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class RemembersFirstChoice(MoELayer):
    """last_experts holds slot 0 only."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts[:, 0]
        return y


@bank.wrong("D1.5")
class RemembersLastRow(MoELayer):
    """Sequence by sequence, and only the last one's choices are kept."""

    def forward(self, x):
        return torch.cat([MoELayer.forward(self, row[None]) for row in x])


@bank.wrong("D1.5")
class RemembersByPosition(MoELayer):
    """last_experts position by position, not sequence by sequence."""

    def forward(self, x):
        y = super().forward(x)
        choices = self.last_experts.unflatten(0, x.shape[:2])
        self.last_experts = choices.transpose(0, 1).flatten(0, 1)
        return y


@bank.wrong("D1.5")
class PositionMajor(MoELayer):
    """Rows position by position going in, sequence by sequence coming out."""

    def forward(self, x):
        return super().forward(x.transpose(0, 1)).reshape(x.shape)


@bank.wrong("D1.5")
class FeaturesMixed(MoELayer):
    """`reshape(D, -1).T`: a row is made of many tokens' features."""

    def forward(self, x):
        tokens = x.reshape(x.shape[-1], -1).T
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.T.reshape(x.shape)


@bank.wrong("D1.5")
class FirstSequenceOnly(MoELayer):
    """Routes by the first sequence of the batch only."""

    def forward(self, x):
        gates, experts = self.router(x[0])
        self.last_experts = experts.repeat(len(x), 1)
        gates, tokens = gates.repeat(len(x), 1), x.flatten(0, 1)
        return dispatch_combine(tokens, gates, self.last_experts, self.experts).view(x.shape)


@bank.wrong("D1.5")
class OneChoiceASequence(MoELayer):
    """The mean of a sequence decides for all its tokens."""

    def forward(self, x):
        gates, experts = (y.repeat_interleave(x.shape[1], 0) for y in self.router(x.mean(dim=1)))
        self.last_experts = experts
        return dispatch_combine(x.flatten(0, 1), gates, experts, self.experts).view(x.shape)


@bank.wrong("D1.5")
class NoisyRouting(MoELayer):
    """Noise on the tokens before they are routed, for the choices it remembers too."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens + torch.randn_like(tokens))
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class RoutedTwice(MoELayer):
    """Remembers the choices of a second, noisy routing."""

    def forward(self, x):
        y = super().forward(x)
        tokens = x.reshape(-1, x.shape[-1])
        self.last_experts = self.router(tokens + torch.randn_like(tokens))[1]
        return y


@bank.wrong("D1.5")
class RouterEachTime(MoELayer):
    """A new router in every forward pass."""

    def forward(self, x):
        num_experts, width = self.router.gate.weight.shape
        self.router = TopKRouter(width, num_experts, self.router.top_k).to(x.dtype)
        return super().forward(x)


@bank.wrong("D1.5")
class DetachedTokens(MoELayer):
    """Nothing flows back through the experts or the router."""

    def forward(self, x):
        return super().forward(x.detach())


@bank.wrong("D1.5")
class DetachedForRouter(MoELayer):
    """The router reads detached tokens: x hears nothing from it."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens.detach())
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class RouterWithoutGradient(MoELayer):
    """The router runs under no_grad and never learns."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        with torch.no_grad():
            gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class FirstChoiceOnly(MoELayer):
    """Dispatches slot 0 only."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates[:, :1], self.last_experts[:, :1], self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class IgnoresGates(MoELayer):
    """Adds the chosen experts up unweighted."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, torch.ones_like(gates), self.last_experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class NormalisesInPlace(MoELayer):
    """Tokens are centred in place: the caller's x changes."""

    def forward(self, x):
        x.sub_(x.mean(dim=-1, keepdim=True))
        return super().forward(x)


@bank.wrong("D1.5")
class WritesIntoInput(MoELayer):
    """The result is also written into the caller's x."""

    def forward(self, x):
        y = super().forward(x)
        x.data.copy_(y)
        return y


@bank.wrong("D1.5")
class RoutesNormalised(MoELayer):
    """The router reads a layer norm of the tokens."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(F.layer_norm(tokens, tokens.shape[-1:]))
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@bank.wrong("D1.5")
class ReturnsChoicesToo(MoELayer):
    """A tuple of output and choices."""

    def forward(self, x):
        return super().forward(x), self.last_experts


@bank.wrong("D1.5")
class StaysFlat(MoELayer):
    """(T, D) comes out."""

    def forward(self, x):
        return super().forward(x).flatten(0, 1)


@bank.wrong("D1.5")
class LosesBatchOfOne(MoELayer):
    """`squeeze` loses the batch axis of a single sequence."""

    def forward(self, x):
        return super().forward(x).squeeze(0)


@bank.wrong("D1.5")
class ViewOnly(MoELayer):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x):
        return super().forward(x.view(-1, x.shape[-1])[None]).view(x.shape)


@bank.wrong("D1.5")
class DenseExperts(MoELayer):
    """Every expert on every token: right value, E/K times the work."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        out = torch.stack([self.experts[i](tokens) for i in range(len(self.experts))], dim=1)
        dense = out.new_zeros(out.shape[:2]).scatter(1, self.last_experts, gates)
        return torch.einsum("te,ted->td", dense, out).reshape(x.shape)


@bank.wrong("D1.5")
class OneForEveryone(MoELayer):
    """Expert 0 takes every token, whatever the router says."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        _, self.last_experts = self.router(tokens)
        return self.experts[0](tokens).reshape(x.shape)


@bank.wrong("D1.5")
class AlwaysTopTwo(MoELayer):
    """A router of two choices, whatever top_k says."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, min(2, num_experts), expert_dim)


@bank.wrong("D1.5")
class AlwaysFourTimes(MoELayer):
    """Experts of width 4·d_model, whatever expert_dim says."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.experts = ExpertArray(d_model, 4 * d_model, num_experts)
