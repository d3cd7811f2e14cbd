"""Wrong answers to D1.5 MoELayer: what hangs on the mode, the type, the seed or exchanged sizes."""

import torch

from checks.audit.answers import wrong
from solutions.d1_moe import ExpertArray, MoELayer, dispatch_combine


@wrong
class CapacityWhileTraining(MoELayer):
    """Experts that are full drop tokens while training, as Switch has it."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        if self.training:
            room = self.last_experts.numel() // len(self.experts)
            for i in range(len(self.experts)):
                token, slot = torch.where(self.last_experts == i)
                gates = gates.index_put((token[room:], slot[room:]), gates.new_zeros(()))
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class FirstChoiceInEvaluation(MoELayer):
    """Outside training only the first choice is computed."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        k = gates.shape[1] if self.training else 1
        y = dispatch_combine(tokens, gates[:, :k], self.last_experts[:, :k], self.experts)
        return y.reshape(x.shape)


@wrong
class FrozenInEvaluation(MoELayer):
    """No gradient outside training."""

    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)


@wrong
class DenseInEvaluation(MoELayer):
    """Every expert on every token outside training."""

    def forward(self, x):
        if self.training:
            return super().forward(x)
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        out = torch.stack([self.experts[i](tokens) for i in range(len(self.experts))], dim=1)
        dense = out.new_zeros(out.shape[:2]).scatter(1, self.last_experts, gates)
        return torch.einsum("te,ted->td", dense, out).reshape(x.shape)


@wrong
class WidthForNumber(MoELayer):
    """The two last sizes of ExpertArray exchanged: as many weights, of other experts."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.experts = ExpertArray(d_model, num_experts, expert_dim)


@wrong
class SeedInForward(MoELayer):
    """torch.manual_seed in forward."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class InDouble(MoELayer):
    """`.double()` in the constructor."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.double()


@wrong
class ChoicesOfTheClass(MoELayer):
    """last_experts on the class: every layer shows those of the layer that ran last."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, experts = self.router(tokens)
        type(self).last_experts = experts
        return dispatch_combine(tokens, gates, experts, self.experts).reshape(x.shape)


@wrong
class ChoicesWithGradientsOnly(MoELayer):
    """last_experts stays as it was in a pass under no_grad, as of held-out text."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, experts = self.router(tokens)
        if torch.is_grad_enabled() or not hasattr(self, "last_experts"):
            self.last_experts = experts
        return dispatch_combine(tokens, gates, experts, self.experts).reshape(x.shape)


@wrong
class RoutesInFloat32(MoELayer):
    """The router reads tokens in float32 at least: a layer in bfloat16 raises."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        wide = tokens.to(torch.promote_types(x.dtype, torch.float32))
        gates, self.last_experts = self.router(wide)
        return dispatch_combine(tokens, gates, self.last_experts, self.experts).reshape(x.shape)


@wrong
class KeepsFloat32(MoELayer):
    """The output in float32 at least, whatever narrower type x has."""

    def forward(self, x):
        return super().forward(x).to(torch.promote_types(x.dtype, torch.float32))
