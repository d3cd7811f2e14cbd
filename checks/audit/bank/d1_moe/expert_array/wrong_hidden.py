"""Wrong answers to D1.2 ExpertArray that show only in gradients, memory, types, seeds or modes."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from helpers.model.llama import SwiGLU
from solutions.d1_moe import ExpertArray


def array_of(make):
    """An ExpertArray whose experts `make(d_model, expert_dim)` builds."""

    class Made(ExpertArray):
        def __init__(self, d_model, expert_dim, num_experts):
            nn.Module.__init__(self)
            self.experts = nn.ModuleList(make(d_model, expert_dim) for _ in range(num_experts))

    return Made


class Detached(SwiGLU):
    """SwiGLU of a detached x."""

    def forward(self, x):
        return super().forward(x.detach())


@wrong
class DetachedInput(array_of(Detached)):
    """x is detached on its way into an expert: the layers below hear nothing."""


class GateDetached(SwiGLU):
    """SwiGLU whose gate reads a detached x."""

    def forward(self, x):
        return self.down(F.silu(self.gate(x.detach())) * self.up(x))


@wrong
class DetachedAtTheGate(array_of(GateDetached)):
    """Only the gate's x is detached: half of the slope is missing."""


class DropsWhileTraining(SwiGLU):
    """SwiGLU with dropout on its hidden units."""

    def forward(self, x):
        return self.down(F.dropout(F.silu(self.gate(x)) * self.up(x), 0.3, self.training))


@wrong
class WithDropout(array_of(DropsWhileTraining)):
    """Dropout inside the experts while they train."""


class LinearInEvaluation(SwiGLU):
    """SwiGLU whose activation is left out in evaluation."""

    def forward(self, x):
        gate = F.silu(self.gate(x)) if self.training else self.gate(x)
        return self.down(gate * self.up(x))


@wrong
class NoActivationInEvaluation(array_of(LinearInEvaluation)):
    """The activation only while training."""


class Centring(SwiGLU):
    """SwiGLU that takes the mean off x in place."""

    def forward(self, x):
        x.data -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


@wrong
class CentresInPlace(array_of(Centring)):
    """Each expert centres x in place, for the next expert too."""


@wrong
class SharedDownData(ExpertArray):
    """`.data` of one down projection handed to all: parameters of their own, in one memory."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for expert in self.experts:
            expert.down.weight.data = self.experts[0].down.weight.data


@wrong
class SharedDataOfTwo(ExpertArray):
    """The last expert learns in the memory of the first."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for mine, first in zip(
            self.experts[-1].parameters(), self.experts[0].parameters(), strict=True
        ):
            mine.data = first.data


@wrong
class InBfloat16(ExpertArray):
    """`.bfloat16()` in the constructor: half the digits are gone before the caller asks."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.bfloat16()


@wrong
class InDouble(ExpertArray):
    """`.double()` in the constructor."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.double()


@wrong
class SeedInConstructor(ExpertArray):
    """torch.manual_seed in the constructor: every array starts alike."""

    def __init__(self, d_model, expert_dim, num_experts):
        torch.manual_seed(0)
        super().__init__(d_model, expert_dim, num_experts)


@wrong
class OwnSeed(ExpertArray):
    """A seed of its own that is put back: two layers of a model start alike."""

    def __init__(self, d_model, expert_dim, num_experts):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(d_model, expert_dim, num_experts)


class Seeding(SwiGLU):
    """SwiGLU that sets the seed when it is called."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class SeedInForward(array_of(Seeding)):
    """torch.manual_seed in an expert's forward."""


@wrong
class CopiesWithNoise(ExpertArray):
    """Copies of one expert with a little noise on each, which breaks the tie and no more."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList(copy.deepcopy(first) for _ in range(num_experts))
        with torch.no_grad():
            for weight in self.experts.parameters():
                weight += 1e-3 * torch.randn_like(weight)


@wrong
class Upcycled(ExpertArray):
    """Copies of one expert in which only the down projection is drawn anew."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList(copy.deepcopy(first) for _ in range(num_experts))
        for expert in self.experts:
            expert.down.reset_parameters()


class ReadsFloat32(SwiGLU):
    """SwiGLU of x in float32 at least."""

    def forward(self, x):
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


@wrong
class InputInFloat32(array_of(ReadsFloat32)):
    """x is brought to float32 and the weights are not: an array in bfloat16 raises."""


class KeepsFloat32(SwiGLU):
    """SwiGLU that returns float32 at least."""

    def forward(self, x):
        return super().forward(x).to(torch.promote_types(x.dtype, torch.float32))


@wrong
class OutputInFloat32(array_of(KeepsFloat32)):
    """The output of an array in bfloat16 comes in float32."""
