"""Wrong answers to D2.3d DeepSeekMoE: what hangs on the mode, type, seed or exchanged sizes."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.deepseek_moe.steps import Stepwise
from solutions.d1_moe import ExpertArray


@wrong
class WidthForNumber(Stepwise):
    """The two last sizes of ExpertArray exchanged: as many weights, of other experts."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.experts = ExpertArray(d_model // self.num_segments, num_experts, expert_dim)


@wrong
class CapacityWhileTraining(Stepwise):
    """Experts that are full drop tokens while training, as Switch has it."""

    def route(self, rows):
        gates, experts = self.router(rows)
        if self.training:
            for i in range(len(self.experts)):
                row, slot = torch.where(experts == i)
                full = slice(experts.numel() // len(self.experts), None)
                gates = gates.index_put((row[full], slot[full]), gates.new_zeros(()))
        return gates, experts


@wrong
class FirstChoiceInEvaluation(Stepwise):
    """Outside training the other choices get a gate of 0."""

    def route(self, rows):
        gates, experts = self.router(rows)
        first = torch.arange(gates.shape[1]) == 0
        return gates if self.training else gates * first, experts


@wrong
class FrozenInEvaluation(Stepwise):
    """No gradient outside training."""

    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)


@wrong
class SeedInForward(Stepwise):
    """torch.manual_seed in forward."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class NarrowRaises(Stepwise):
    """The shared experts read float32 tokens: an error where their weights are bfloat16."""

    def both(self, tokens):
        wide = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        return self.routed(tokens) + self.shared(wide).to(tokens.dtype)


@wrong
class InDouble(Stepwise):
    """`.double()` in the constructor."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.double()
