"""Wrong answers to D1.5 MoELayer: gradients, gates, side effects, shapes, sizes."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from solutions.d1_moe import ExpertArray, MoELayer, dispatch_combine


@wrong
class DetachedTokens(MoELayer):
    """Nothing flows back through the experts or the router."""

    def forward(self, x):
        return super().forward(x.detach())


@wrong
class DetachedForRouter(MoELayer):
    """The router reads detached tokens: x hears nothing from it."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens.detach())
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class RouterWithoutGradient(MoELayer):
    """The router runs under no_grad and never learns."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        with torch.no_grad():
            gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class FirstChoiceOnly(MoELayer):
    """Dispatches slot 0 only."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates[:, :1], self.last_experts[:, :1], self.experts)
        return y.reshape(x.shape)


@wrong
class IgnoresGates(MoELayer):
    """Adds the chosen experts up unweighted."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, torch.ones_like(gates), self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class NormalisesInPlace(MoELayer):
    """Tokens are centred in place: the caller's x changes."""

    def forward(self, x):
        x.sub_(x.mean(dim=-1, keepdim=True))
        return super().forward(x)


@wrong
class WritesIntoInput(MoELayer):
    """The result is also written into the caller's x."""

    def forward(self, x):
        y = super().forward(x)
        x.data.copy_(y)
        return y


@wrong
class RoutesNormalised(MoELayer):
    """The router reads a layer norm of the tokens."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(F.layer_norm(tokens, tokens.shape[-1:]))
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class ReturnsChoicesToo(MoELayer):
    """A tuple of output and choices."""

    def forward(self, x):
        return super().forward(x), self.last_experts


@wrong
class StaysFlat(MoELayer):
    """(T, D) comes out."""

    def forward(self, x):
        return super().forward(x).flatten(0, 1)


@wrong
class LosesBatchOfOne(MoELayer):
    """`squeeze` loses the batch axis of a single sequence."""

    def forward(self, x):
        return super().forward(x).squeeze(0)


@wrong
class ViewOnly(MoELayer):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x):
        return super().forward(x.view(-1, x.shape[-1])[None]).view(x.shape)


@wrong
class DenseExperts(MoELayer):
    """Every expert on every token: right value, E/K times the work."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        out = torch.stack([self.experts[i](tokens) for i in range(len(self.experts))], dim=1)
        dense = out.new_zeros(out.shape[:2]).scatter(1, self.last_experts, gates)
        return torch.einsum("te,ted->td", dense, out).reshape(x.shape)


@wrong
class DenseFromWeights(MoELayer):
    """Every expert on every token from stacked weights, where no expert is called."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        shape = len(tokens), len(self.experts)
        dense = tokens.new_zeros(shape).scatter(1, self.last_experts, gates)
        experts = [self.experts[i] for i in range(len(self.experts))]
        gate, up = (
            torch.einsum("td,efd->tef", tokens, torch.stack([e.weight for e in linears]))
            for linears in ([e.gate for e in experts], [e.up for e in experts])
        )
        down = torch.stack([e.down.weight for e in experts])
        return torch.einsum("tef,edf,te->td", F.silu(gate) * up, down, dense).reshape(x.shape)


@wrong
class OneForEveryone(MoELayer):
    """Expert 0 takes every token, whatever the router says."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        _, self.last_experts = self.router(tokens)
        return self.experts[0](tokens).reshape(x.shape)


@wrong
class AlwaysTopTwo(MoELayer):
    """A router of two choices, whatever top_k says."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, min(2, num_experts), expert_dim)


@wrong
class AlwaysFourTimes(MoELayer):
    """Experts of width 4·d_model, whatever expert_dim says."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.experts = ExpertArray(d_model, 4 * d_model, num_experts)
