"""Wrong answers to D2.1 SharedExperts: sizes, registration, gradients, shapes."""

import copy

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.shared_experts.right import ListSummed
from helpers.model.llama import SwiGLU
from solutions.d2_deepseek_moe import SharedExperts


@wrong
class PlainList(ListSummed):
    """A Python list beside one registered expert: PyTorch knows of no other."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.first = SwiGLU(d_model, expert_dim)
        self.rest = [SwiGLU(d_model, expert_dim) for _ in range(num_shared - 1)]

    def forward(self, x):
        return self.first(x) + sum(expert.to(x.dtype)(x) for expert in self.rest)


@wrong
class OneTimesN(ListSummed):
    """`[expert] * N`: one expert counted N times."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = nn.ModuleList([SwiGLU(d_model, expert_dim)] * num_shared)


@wrong
class TimesTheirNumber(SharedExperts):
    """One expert of width expert_dim, its output times num_shared."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, 1)
        self.num_shared = num_shared

    def forward(self, x):
        return self.num_shared * self.experts(x)


@wrong
class DeepCopies(ListSummed):
    """Deep copies of one expert: they start equal, learn alike and never part."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        first = SwiGLU(d_model, expert_dim)
        self.experts = nn.ModuleList(copy.deepcopy(first) for _ in range(num_shared))


@wrong
class Narrow(SharedExperts):
    """One network of width expert_dim, whatever num_shared says."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, 1)


@wrong
class SharedOut(SharedExperts):
    """expert_dim shared out among the experts."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, max(1, expert_dim // num_shared), num_shared)


@wrong
class WidthsAdded(SharedExperts):
    """expert_dim + num_shared where the product belongs."""

    def __init__(self, d_model, expert_dim, num_shared):
        nn.Module.__init__(self)
        self.experts = SwiGLU(d_model, expert_dim + num_shared)


@wrong
class OneTooMany(SharedExperts):
    """One expert more than asked for."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared + 1)


@wrong
class AlwaysTwo(SharedExperts):
    """Two shared experts as in V2, whatever num_shared says."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, 2)


@wrong
class AlwaysFourTimes(SharedExperts):
    """Experts of width 4·d_model, whatever expert_dim says."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, 4 * d_model, num_shared)


@wrong
class SummedInFloat32(ListSummed):
    """Summed from float32 zeros, and never cast back: a bfloat16 layer returns float32."""

    def forward(self, x):
        y = torch.zeros(x.shape, dtype=torch.promote_types(x.dtype, torch.float32))
        for expert in self.experts:
            y = y + expert(x)
        return y


@wrong
class NarrowRaises(SharedExperts):
    """x made float32 where it is narrower: an error where the weights are bfloat16."""

    def forward(self, x):
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)


@wrong
class RowsOnly(SharedExperts):
    """Two names for the axes: only (T, D) goes in."""

    def forward(self, x):
        tokens, width = x.shape
        return self.experts(x.reshape(tokens, width))


@wrong
class SequencesOnly(SharedExperts):
    """Three names for the axes: only (B, L, D) goes in."""

    def forward(self, x):
        batch, length, width = x.shape
        return self.experts(x.reshape(batch * length, width)).view(batch, length, width)


@wrong
class StaysFlat(SharedExperts):
    """One row a token comes out, whatever the leading dimensions."""

    def forward(self, x):
        return self.experts(x.reshape(-1, x.shape[-1]))


@wrong
class ViewOnly(SharedExperts):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x):
        return self.experts(x.view(-1, x.shape[-1])).view(x.shape)


@wrong
class Squeezed(SharedExperts):
    """`squeeze` loses every axis of length one."""

    def forward(self, x):
        return self.experts(x).squeeze()


@wrong
class DetachedInput(SharedExperts):
    """Nothing flows back to the layers below."""

    def forward(self, x):
        return self.experts(x.detach())


@wrong
class WithoutGradient(SharedExperts):
    """The experts run under no_grad and never learn."""

    def forward(self, x):
        with torch.no_grad():
            return self.experts(x)


@wrong
class OnlyFirstLearns(ListSummed):
    """All experts but the first are detached."""

    def forward(self, x):
        return self.experts[0](x) + sum(expert(x).detach() for expert in self.experts[1:])


@wrong
class Frozen(SharedExperts):
    """Weights that ask for no gradient."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__(d_model, expert_dim, num_shared)
        self.requires_grad_(False)


@wrong
class BuiltEachTime(SharedExperts):
    """A new network in every forward pass."""

    def forward(self, x):
        hidden, width = self.experts.gate.weight.shape
        return SwiGLU(width, hidden).to(x.dtype)(x)


@wrong
class WritesIntoInput(SharedExperts):
    """The result is also written into the caller's x."""

    def forward(self, x):
        y = self.experts(x)
        x.data.copy_(y)
        return y


@wrong
class AsList(ListSummed):
    """A list of the outputs."""

    def forward(self, x):
        return [expert(x) for expert in self.experts]
