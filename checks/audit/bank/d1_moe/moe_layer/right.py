"""Right answers to D1.5 MoELayer."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d1_moe.expert_array.right import FusedExperts
from solutions.d1_moe import MoELayer, dispatch_combine, sorted_dispatch


@right
class Flattened(MoELayer):
    """flatten before, unflatten after."""

    def forward(self, x):
        tokens = x.flatten(0, 1)
        gates, experts = self.router(tokens)
        self.last_experts = experts.detach().clone()
        return dispatch_combine(tokens, gates, experts, self.experts).unflatten(0, x.shape[:2])


@right
class ContiguousView(MoELayer):
    """view on a contiguous copy, and the sorted dispatch."""

    def forward(self, x):
        batch, length, width = x.shape
        tokens = x.contiguous().view(batch * length, width)
        gates, experts = self.router(tokens)
        y = sorted_dispatch(tokens, gates, experts, self.experts)
        self.last_experts = experts
        return y.view(batch, length, width)


@right
class LoopInside(MoELayer):
    """Dispatch and combine written out in the layer."""

    def forward(self, x):
        tokens = torch.cat(list(x))
        gates, self.last_experts = self.router(tokens)
        out = torch.zeros_like(tokens)
        for i in range(len(self.experts)):
            token, slot = torch.where(self.last_experts == i)
            if token.numel():
                out.index_add_(0, token, gates[token, slot, None] * self.experts[i](tokens[token]))
        return torch.stack(out.chunk(x.shape[0]))


@right
class RowByRow(MoELayer):
    """One sequence of the batch after the other, the choices put together at the end."""

    def forward(self, x):
        ys, choices = [], []
        for row in x:
            gates, experts = self.router(row)
            ys.append(dispatch_combine(row, gates, experts, self.experts))
            choices.append(experts)
        self.last_experts = torch.cat(choices)
        return torch.stack(ys)


@right
class ChoicesInBuffer(MoELayer):
    """last_experts is a buffer that is not saved."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.register_buffer("last_experts", torch.empty(0, top_k).long(), persistent=False)

    def forward(self, x):
        tokens = x.reshape(-1, x.size(-1))
        gates, experts = self.router(tokens)
        self.last_experts = experts
        return dispatch_combine(tokens, gates, experts, self.experts).view_as(x)


@right
class PaddedBatch(MoELayer):
    """Fused experts, each choice in its expert's padded row, and three torch.bmm."""

    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, top_k, expert_dim)
        self.experts = FusedExperts(d_model, expert_dim, num_experts)

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens)
        mask = F.one_hot(self.last_experts.flatten(), len(self.experts))  # (T·K, E)
        expert = self.last_experts.flatten()
        place = (mask.cumsum(0) * mask).sum(1) - 1  # the how-manyth of its expert
        rows = tokens.repeat_interleave(gates.shape[1], dim=0)
        padded = rows.new_zeros(len(self.experts), int(mask.sum(0).max()), x.shape[-1])
        padded = padded.index_put((expert, place), rows)
        hidden = F.silu(torch.bmm(padded, self.experts.gate)) * torch.bmm(padded, self.experts.up)
        out = torch.bmm(hidden, self.experts.down)[expert, place]
        return (gates.flatten()[:, None] * out).view(*gates.shape, -1).sum(1).view(x.shape)
