"""Right answers to D2.1 SharedExperts."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d1_moe.experts import LlamaNames
from helpers.model.llama import SwiGLU
from solutions.d1_moe import ExpertArray
from solutions.d2_deepseek_moe import SharedExperts


@right
class ListSummed(SharedExperts):
    """A ModuleList of num_shared SwiGLU and Python's sum, as the paper's formula reads."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(num_shared))

    def forward(self, x):
        return sum(expert(x) for expert in self.experts)


@right
class WideByOtherNames(SharedExperts):
    """One wide network written anew, with LLaMA's names for the weights."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = LlamaNames(d_model, num_shared * expert_dim)


@right
class WideFused(nn.Module):
    """One wide network whose gate and up are halves of one parameter."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__()
        width = expert_dim * num_shared
        self.gate_up = nn.Parameter(torch.randn(2 * width, d_model) * d_model**-0.5)
        self.down = nn.Parameter(torch.randn(d_model, width) * width**-0.5)

    def forward(self, x):
        gate, up = F.linear(x, self.gate_up).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down)


@right
class ThreeAxes(nn.Module):
    """Three (N, F, D) parameters and einsum over all experts at once."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__()
        shape = num_shared, expert_dim, d_model
        self.gate, self.up, self.down = (
            nn.Parameter(torch.randn(shape) * d_model**-0.5) for _ in range(3)
        )

    def forward(self, x):
        hidden = F.silu(torch.einsum("...d,nfd->...nf", x, self.gate))
        hidden = hidden * torch.einsum("...d,nfd->...nf", x, self.up)
        return torch.einsum("...nf,nfd->...d", hidden, self.down)


@right
class StackedThenSummed(SharedExperts):
    """All outputs on a new first axis, summed over it."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = ExpertArray(d_model, expert_dim, num_shared)

    def forward(self, x):
        return torch.stack([self.experts[i](x) for i in range(len(self.experts))]).sum(dim=0)


@right
class AddedByName(nn.Module):
    """One attribute an expert, its output added to what stands already."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__()
        for i in range(num_shared):
            self.add_module(f"shared_{i}", SwiGLU(d_model, expert_dim))

    def forward(self, x):
        y = torch.zeros_like(x)
        for expert in self.children():
            y = y + expert(x)
        return y


@right
class HiddenUnitsJoined(SharedExperts):
    """Separate experts whose hidden units are joined before the joined down projections."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = nn.Sequential(*[SwiGLU(d_model, expert_dim) for _ in range(num_shared)])

    def forward(self, x):
        hidden = torch.cat([F.silu(e.gate(x)) * e.up(x) for e in self.experts], dim=-1)
        return hidden @ torch.cat([e.down.weight for e in self.experts], dim=1).T
