"""Wrong answers to D2.3d DeepSeekMoE: gradients, shapes, work."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.deepseek_moe.steps import Stepwise
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import update_bias


@wrong
class UpdatesBias(Stepwise):
    """Moves the router's bias in every forward pass in training mode."""

    def forward(self, x):
        y = super().forward(x)
        if self.training:
            load = expert_load(self.last_experts, len(self.experts))
            self.router.bias.copy_(update_bias(self.router.bias, load, 0.001))
        return y


@wrong
class SharedDetached(Stepwise):
    """The shared experts read detached tokens: x hears nothing from them."""

    def both(self, tokens):
        return self.routed(tokens) + self.shared(tokens.detach())


@wrong
class SharedWithoutGradient(Stepwise):
    """The shared experts never learn."""

    def both(self, tokens):
        return self.routed(tokens) + self.shared(tokens).detach()


@wrong
class RoutedDetached(Stepwise):
    """The routed experts read detached tokens."""

    def both(self, tokens):
        return self.routed(tokens.detach()) + self.shared(tokens)


@wrong
class RouterWithoutGradient(Stepwise):
    """The router runs under no_grad and never learns."""

    def route(self, rows):
        with torch.no_grad():
            return self.router(rows)


@wrong
class RouterReadsDetached(Stepwise):
    """The router reads detached rows: x hears nothing from it."""

    def route(self, rows):
        return self.router(rows.detach())


@wrong
class RouterReadsNormalised(Stepwise):
    """The router reads a layer norm of the rows."""

    def route(self, rows):
        return self.router(F.layer_norm(rows, rows.shape[-1:]))


@wrong
class NoisyRouting(Stepwise):
    """Noise on the rows before they are routed, while training."""

    def route(self, rows):
        return self.router(rows + torch.randn_like(rows) if self.training else rows)


@wrong
class StaysFlat(Stepwise):
    """(T, D) comes out."""

    def forward(self, x):
        return super().forward(x).flatten(0, 1)


@wrong
class StaysCut(Stepwise):
    """(B, L·m, D/m) comes out: never merged."""

    def forward(self, x):
        return super().forward(x).reshape(len(x), -1, x.shape[2] // self.num_segments)


@wrong
class LosesBatchOfOne(Stepwise):
    """`squeeze` loses the batch axis of a single sequence."""

    def forward(self, x):
        return super().forward(x).squeeze(0)


@wrong
class ReturnsChoicesToo(Stepwise):
    """A tuple of output and choices."""

    def forward(self, x):
        return super().forward(x), self.last_experts


@wrong
class ViewOnly(Stepwise):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x):
        return self.both(x.view(-1, x.shape[-1])).view(x.shape)


@wrong
class PositionMajor(Stepwise):
    """Rows position by position going in, sequence by sequence coming out."""

    def forward(self, x):
        return super().forward(x.transpose(0, 1)).reshape(x.shape)


@wrong
class FeaturesMixed(Stepwise):
    """`reshape(D, -1).T`: a token is made of many tokens' features."""

    def forward(self, x):
        tokens = x.reshape(x.shape[-1], -1).T
        return self.both(tokens).T.reshape(x.shape)


@wrong
class SharedAddedIntoInput(Stepwise):
    """The shared output is added into the caller's x, and the routed experts read that."""

    def both(self, tokens):
        shared = self.shared(tokens)
        tokens.data += shared
        return self.routed(tokens) + shared


@wrong
class WritesIntoInput(Stepwise):
    """The result is also written into the caller's x."""

    def forward(self, x):
        y = super().forward(x)
        x.data.copy_(y)
        return y


@wrong
class DenseExperts(Stepwise):
    """Every expert on every row: right value, E/K times the work."""

    def routed(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        out = torch.stack([self.experts[i](rows) for i in range(len(self.experts))], dim=1)
        dense = out.new_zeros(out.shape[:2]).scatter(1, self.last_experts, gates)
        return self.merge(torch.einsum("te,ted->td", dense, out))


@wrong
class DenseFromStackedWeights(Stepwise):
    """Every expert on every row, by an einsum over their stacked weights: no expert is called."""

    def routed(self, tokens):
        rows = self.cut(tokens)
        gates, self.last_experts = self.route(rows)
        dense = gates.new_zeros(len(rows), len(self.experts)).scatter(1, self.last_experts, gates)
        gate, up, down = (
            torch.stack([getattr(expert, name).weight for expert in self.experts.experts])
            for name in ("gate", "up", "down")
        )
        hidden = F.silu(torch.einsum("td,efd->tef", rows, gate))
        hidden = hidden * torch.einsum("td,efd->tef", rows, up)
        return self.merge(torch.einsum("tef,edf,te->td", hidden, down, dense))


@wrong
class InFloat32(Stepwise):
    """float32 whatever x is."""

    def forward(self, x):
        return super().forward(x).float()
