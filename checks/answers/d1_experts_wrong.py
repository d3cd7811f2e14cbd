"""D1.2 ExpertArray, answered wrongly."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from checks.answers.bank import Bank
from helpers.llama import SwiGLU
from solutions.d1_moe import ExpertArray

bank = Bank("d1_moe")


@bank.wrong("D1.2")
class PlainList(ExpertArray):
    """A Python list: PyTorch knows of no expert."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = [SwiGLU(d_model, expert_dim) for _ in range(num_experts)]


@bank.wrong("D1.2")
class PlainDict(ExpertArray):
    """A Python dict: PyTorch knows of no expert."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = {i: SwiGLU(d_model, expert_dim) for i in range(num_experts)}


@bank.wrong("D1.2")
class OneTimesN(ExpertArray):
    """`[expert] * N`: one expert under N numbers."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList([SwiGLU(d_model, expert_dim)] * num_experts)


@bank.wrong("D1.2")
class OneForAll(ExpertArray):
    """One expert that answers to every index."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.expert, self.num_experts = SwiGLU(d_model, expert_dim), num_experts

    def __len__(self):
        return self.num_experts

    def __getitem__(self, i):
        return self.expert


@bank.wrong("D1.2")
class DeepCopies(ExpertArray):
    """Deep copies of one expert: apart, and identical at the start."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList(copy.deepcopy(first) for _ in range(num_experts))


@bank.wrong("D1.2")
class SameSeed(ExpertArray):
    """The same seed set before each expert: identical at the start."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList()
        for _ in range(num_experts):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.experts.append(SwiGLU(d_model, expert_dim))


@bank.wrong("D1.2")
class SharedDown(ExpertArray):
    """Experts that share the down projection."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for expert in self.experts:
            expert.down = self.experts[0].down


@bank.wrong("D1.2")
class TiedGateWeight(ExpertArray):
    """Experts whose gate projections are modules of their own around one weight."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for expert in self.experts:
            expert.gate.weight = self.experts[0].gate.weight


@bank.wrong("D1.2")
class SwappedSizes(ExpertArray):
    """d_model and expert_dim in each other's place."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(expert_dim, d_model, num_experts)


@bank.wrong("D1.2")
class OneTooMany(ExpertArray):
    """One expert more than asked for."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts + 1)


@bank.wrong("D1.2")
class OneTooFew(ExpertArray):
    """`range(1, num_experts)`: one expert short."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(1, num_experts))


@bank.wrong("D1.2")
class FourExpertsOnly(ExpertArray):
    """Always four experts."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, 4)


@bank.wrong("D1.2")
class AlwaysFourTimes(ExpertArray):
    """The width 4·d_model, whatever expert_dim says."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, 4 * d_model, num_experts)


@bank.wrong("D1.2")
class WidthDivided(ExpertArray):
    """expert_dim shared out among the experts."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, max(1, expert_dim // num_experts), num_experts)


@bank.wrong("D1.2")
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


class GeGLU(SwiGLU):
    """GELU where SwiGLU has SiLU."""

    def forward(self, x):
        return self.down(F.gelu(self.gate(x)) * self.up(x))


@bank.wrong("D1.2")
class GeluGates(ExpertArray):
    """GELU where SwiGLU has SiLU."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(GeGLU(d_model, expert_dim) for _ in range(num_experts))


class Residual(SwiGLU):
    """SwiGLU with its input added."""

    def forward(self, x):
        return x + super().forward(x)


@bank.wrong("D1.2")
class ResidualExperts(ExpertArray):
    """Each expert adds its input, which is the block's job."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(Residual(d_model, expert_dim) for _ in range(num_experts))


class Biased(SwiGLU):
    """SwiGLU with a bias in each projection."""

    def __init__(self, d_model, expert_dim):
        nn.Module.__init__(self)
        self.gate, self.up = (nn.Linear(d_model, expert_dim) for _ in range(2))
        self.down = nn.Linear(expert_dim, d_model)


@bank.wrong("D1.2")
class BiasedExperts(ExpertArray):
    """Linear layers with their bias left on."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(Biased(d_model, expert_dim) for _ in range(num_experts))


@bank.wrong("D1.2")
class BuiltOnDemand(ExpertArray):
    """A new expert at every index: nothing is kept from call to call."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.sizes = d_model, expert_dim

    def __getitem__(self, i):
        weight = self.experts[i].gate.weight
        return SwiGLU(*self.sizes).to(weight.dtype)


@bank.wrong("D1.2")
class Frozen(ExpertArray):
    """Experts whose weights ask for no gradient."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.requires_grad_(False)


@bank.wrong("D1.2")
class Overwritten(ExpertArray):
    """The list is made anew in every turn of the loop, so one expert is left."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        for _ in range(num_experts):
            self.experts = nn.ModuleList([SwiGLU(d_model, expert_dim)])


@bank.wrong("D1.2")
class ZeroStart(ExpertArray):
    """All weights start at zero: every expert is the same and none can leave."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        for weight in self.parameters():
            nn.init.zeros_(weight)
