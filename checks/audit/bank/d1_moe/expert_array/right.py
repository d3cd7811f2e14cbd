"""Right answers to D1.2 ExpertArray."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d1_moe.experts import LlamaNames
from helpers.model.llama import SwiGLU
from solutions.d1_moe import ExpertArray


@right
class Appended(ExpertArray):
    """A ModuleList filled in a loop, with __len__ and __getitem__ as given."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList()
        for _ in range(num_experts):
            self.experts.append(SwiGLU(d_model, expert_dim))


@right
class InSequential(ExpertArray):
    """An nn.Sequential that is only ever indexed."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.Sequential(*[SwiGLU(d_model, expert_dim) for _ in range(num_experts)])


@right
class ByName(nn.Module):
    """A ModuleDict keyed by the expert's number as text."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__()
        self.nets = nn.ModuleDict({str(i): SwiGLU(d_model, expert_dim) for i in range(num_experts)})

    def __len__(self):
        return len(self.nets)

    def __getitem__(self, i):
        return self.nets[str(i)]


@right
class AsAttributes(nn.Module):
    """One attribute an expert, set by name."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__()
        self.num_experts = num_experts
        for i in range(num_experts):
            self.add_module(f"expert_{i}", SwiGLU(d_model, expert_dim))

    def __len__(self):
        return self.num_experts

    def __getitem__(self, i):
        return getattr(self, f"expert_{i}")


@right
class CopiedAndReset(ExpertArray):
    """Deep copies of one expert, each given initial numbers of its own."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList([copy.deepcopy(first) for _ in range(num_experts)])
        for expert in self.experts:
            for linear in expert.children():
                linear.reset_parameters()


@right
class OwnSwiGLU(ExpertArray):
    """A SwiGLU written anew, with LLaMA's names for the weights."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(LlamaNames(d_model, expert_dim) for _ in range(num_experts))


@right
class FusedExperts(nn.Module):
    """Three (E, …) parameters; an expert is a closure over its slices."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__()
        self.gate = nn.Parameter(torch.randn(num_experts, d_model, expert_dim) * d_model**-0.5)
        self.up = nn.Parameter(torch.randn(num_experts, d_model, expert_dim) * d_model**-0.5)
        self.down = nn.Parameter(torch.randn(num_experts, expert_dim, d_model) * expert_dim**-0.5)

    def __len__(self):
        return len(self.gate)

    def __getitem__(self, i):
        gate, up, down = self.gate[i], self.up[i], self.down[i]
        return lambda x: (F.silu(x @ gate) * (x @ up)) @ down


class Slice(nn.Module):
    """One expert of a fused array, as a module that owns no parameter."""

    def __init__(self, gate_up, down):
        super().__init__()
        self.weights = gate_up, down

    def forward(self, x):
        gate_up, down = self.weights
        gate, up = F.linear(x, gate_up).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, down)


@right
class FusedGateUp(nn.Module):
    """Gate and up in one (E, 2F, D) parameter, as checkpoints hold them."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(num_experts, 2 * expert_dim, d_model))
        self.down = nn.Parameter(torch.empty(num_experts, d_model, expert_dim))
        for weight in self.parameters():
            nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)

    def __len__(self):
        return self.down.shape[0]

    def __getitem__(self, i):
        return Slice(self.gate_up[i], self.down[i])


class OfItsWidth(SwiGLU):
    """SwiGLU that refuses rows of another width."""

    def __init__(self, d_model, expert_dim):
        super().__init__(d_model, expert_dim)
        self.d_model = d_model

    def forward(self, x):
        if x.shape[-1] != self.d_model:
            raise ValueError(f"x must have width {self.d_model}, got {x.shape[-1]}")
        return super().forward(x)


@right
class WidthRefused(ExpertArray):
    """Experts that raise ValueError for rows of another width."""

    def __init__(self, d_model, expert_dim, num_experts):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(OfItsWidth(d_model, expert_dim) for _ in range(num_experts))


@right
class WidthAsserted(ExpertArray):
    """The width of the rows is asserted where an expert is called."""

    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__(d_model, expert_dim, num_experts)
        self.d_model = d_model

    def __getitem__(self, i):
        def call(x):
            assert x.shape[-1] == self.d_model, x.shape
            return self.experts[i](x)

        return call
