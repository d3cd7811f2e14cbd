"""Wrong answers to D2.1 SharedExperts that show only in memory, types, seeds or one mode."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.shared_experts.right import ListSummed
from solutions.d2_deepseek_moe import SharedExperts


@wrong
class SharedData(ListSummed):
    """`.data` of one down projection handed to all: parameters of their own, in one memory."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        for expert in self.experts:
            expert.down.weight.data = self.experts[0].down.weight.data


@wrong
class InBfloat16(SharedExperts):
    """`.bfloat16()` in the constructor."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.bfloat16()


@wrong
class InDouble(SharedExperts):
    """`.double()` in the constructor."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.double()


@wrong
class SeedInConstructor(SharedExperts):
    """torch.manual_seed in the constructor."""

    def __init__(self, d_model, expert_dim, num_shared):
        torch.manual_seed(0)
        super().__init__(d_model, expert_dim, num_shared)


@wrong
class OwnSeed(SharedExperts):
    """A seed of its own that is put back: all layers of a model start alike."""

    def __init__(self, d_model, expert_dim, num_shared):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(d_model, expert_dim, num_shared)


@wrong
class SeedInForward(SharedExperts):
    """torch.manual_seed in forward."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class AveragedInEvaluation(ListSummed):
    """The mean outside training, the sum while training."""

    def forward(self, x):
        y = super().forward(x)
        return y if self.training else y / len(self.experts)


@wrong
class FrozenInEvaluation(SharedExperts):
    """No gradient outside training."""

    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)
