"""Wrong answers to D1.2 ExpertArray."""

import copy

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.experts import Biased, GeGLU
from helpers.model.llama import SwiGLU
from solutions.d1_moe import ExpertArray


@wrong
class PlainList(ExpertArray):
    """A Python list: PyTorch knows of no expert."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = [SwiGLU(d_model, expert_dim) for _ in range(num_experts)]


@wrong
class PlainDict(ExpertArray):
    """A Python dict: PyTorch knows of no expert."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = {i: SwiGLU(d_model, expert_dim) for i in range(num_experts)}


@wrong
class OneTimesN(ExpertArray):
    """`[expert] * N`: one expert under N numbers."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList([SwiGLU(d_model, expert_dim)] * num_experts)


@wrong
class OneForAll(ExpertArray):
    """One expert that answers to every index."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.expert, self.num_experts = SwiGLU(d_model, expert_dim), num_experts

    def __len__(self):
        return self.num_experts

    def __getitem__(self, i):
        return self.expert


@wrong
class DeepCopies(ExpertArray):
    """Deep copies of one expert: apart, and identical at the start."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList(copy.deepcopy(first) for _ in range(num_experts))


@wrong
class SameSeed(ExpertArray):
    """The same seed set before each expert: identical at the start."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList()
        for _ in range(num_experts):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.experts.append(SwiGLU(d_model, expert_dim))


@wrong
class SharedDown(ExpertArray):
    """Experts that share the down projection."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for expert in self.experts:
            expert.down = self.experts[0].down


@wrong
class TiedGateWeight(ExpertArray):
    """Experts whose gate projections are modules of their own around one weight."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for expert in self.experts:
            expert.gate.weight = self.experts[0].gate.weight


@wrong
class SwappedSizes(ExpertArray):
    """d_model and expert_dim in each other's place."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(expert_dim, d_model, num_experts)


@wrong
class OneTooMany(ExpertArray):
    """One expert more than asked for."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts + 1)


@wrong
class OneTooFew(ExpertArray):
    """`range(1, num_experts)`: one expert short."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(1, num_experts))


@wrong
class FourExpertsOnly(ExpertArray):
    """Always four experts."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, 4)


@wrong
class AlwaysFourTimes(ExpertArray):
    """The width 4·d_model, whatever expert_dim says."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, 4 * d_model, num_experts)


@wrong
class WidthDivided(ExpertArray):
    """expert_dim shared out among the experts."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, max(1, expert_dim // num_experts), num_experts)


@wrong
class ReluNetworks(ExpertArray):
    """Two linear layers with a ReLU between them."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(d_model, expert_dim, bias=False),
                nn.ReLU(),
                nn.Linear(expert_dim, d_model, bias=False),
            )
            for _ in range(num_experts)
        )


@wrong
class GeluGates(ExpertArray):
    """GELU where SwiGLU has SiLU."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(GeGLU(d_model, expert_dim) for _ in range(num_experts))


class Residual(SwiGLU):
    """SwiGLU with its input added."""

    def forward(self, x):
        return x + super().forward(x)


@wrong
class ResidualExperts(ExpertArray):
    """Each expert adds its input, which is the block's job."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(Residual(d_model, expert_dim) for _ in range(num_experts))


@wrong
class BiasedExperts(ExpertArray):
    """Linear layers with their bias left on."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(Biased(d_model, expert_dim) for _ in range(num_experts))


@wrong
class BuiltOnDemand(ExpertArray):
    """A new expert at every index: nothing is kept from call to call."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.sizes = d_model, expert_dim

    def __getitem__(self, i):
        weight = self.experts[i].gate.weight
        return SwiGLU(*self.sizes).to(weight.dtype)


@wrong
class Frozen(ExpertArray):
    """Experts whose weights ask for no gradient."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.requires_grad_(False)


@wrong
class Overwritten(ExpertArray):
    """The list is made anew in every turn of the loop, so one expert is left."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        for _ in range(num_experts):
            self.experts = nn.ModuleList([SwiGLU(d_model, expert_dim)])


@wrong
class ZeroStart(ExpertArray):
    """All weights start at zero: every expert is the same and none can leave."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for weight in self.parameters():
            nn.init.zeros_(weight)
