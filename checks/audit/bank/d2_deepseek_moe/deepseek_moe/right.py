"""Right answers to D2.3d DeepSeekMoE."""

import torch

from checks.audit.answers import right
from checks.audit.bank.d1_moe.expert_array.right import FusedExperts
from checks.audit.bank.d2_deepseek_moe.shared_experts.right import ListSummed
from solutions.d1_moe import dispatch_combine, sorted_dispatch
from solutions.d2_deepseek_moe import DeepSeekMoE, merge_segments, segment_tokens


@right
class SlicesOfTheBatch(DeepSeekMoE):
    """One reshape from (B, L, D) to slices and one back; the shared experts take x as it is."""

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1] // self.num_segments)
        gates, self.last_experts = self.router(rows)
        routed = dispatch_combine(rows, gates, self.last_experts, self.experts)
        return routed.view(x.shape) + self.shared(x)


@right
class SharedFirst(DeepSeekMoE):
    """The shared output first; the routed experts are added to its slices, one by one."""

    def forward(self, x):
        tokens = x.flatten(0, 1)
        y = segment_tokens(self.shared(tokens), self.num_segments)
        rows = segment_tokens(tokens, self.num_segments)
        gates, experts = self.router(rows)
        for i in range(len(self.experts)):
            row, slot = torch.where(experts == i)
            if row.numel():
                y = y.index_add(0, row, gates[row, slot, None] * self.experts[i](rows[row]))
        self.last_experts = experts
        return merge_segments(y, self.num_segments).unflatten(0, x.shape[:2])


@right
class SortedAndFused(DeepSeekMoE):
    """Experts in three fused parameters, dispatched by sorting."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.experts = FusedExperts(d_model // self.num_segments, expert_dim, num_experts)

    def forward(self, x):
        tokens = x.contiguous().view(-1, x.size(-1))
        rows = segment_tokens(tokens, self.num_segments)
        gates, experts = self.router(rows)
        self.last_experts = experts.detach().clone()
        y = merge_segments(sorted_dispatch(rows, gates, experts, self.experts), self.num_segments)
        return (self.shared(tokens) + y).view_as(x)


@right
class SequenceBySequence(DeepSeekMoE):
    """One sequence of the batch after the other, the choices put together at the end."""

    def forward(self, x):
        ys, choices = [], []
        for tokens in x:
            rows = segment_tokens(tokens, self.num_segments)
            gates, experts = self.router(rows)
            routed = dispatch_combine(rows, gates, experts, self.experts)
            ys.append(merge_segments(routed, self.num_segments) + self.shared(tokens))
            choices.append(experts)
        self.last_experts = torch.cat(choices)
        return torch.stack(ys)


@right
class SegmentBySegment(DeepSeekMoE):
    """Each slice of all tokens routed on its own; the choices interleaved at the end."""

    def forward(self, x):
        tokens = torch.cat(list(x))
        outputs, choices = [], []
        for rows in tokens.chunk(self.num_segments, dim=1):
            gates, experts = self.router(rows)
            outputs.append(dispatch_combine(rows, gates, experts, self.experts))
            choices.append(experts)
        self.last_experts = torch.stack(choices, dim=1).flatten(0, 1)
        return torch.cat(outputs, dim=1).reshape(x.shape) + self.shared(x)


@right
class ChoicesInBuffer(DeepSeekMoE):
    """Shared experts in a list, and last_experts a buffer that is not saved."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.shared = ListSummed(d_model, expert_dim, num_shared)
        self.register_buffer("last_experts", torch.empty(0, top_k).long(), persistent=False)

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        rows = segment_tokens(tokens, self.num_segments)
        gates, experts = self.router(rows)
        self.last_experts = experts
        y = dispatch_combine(rows, gates, experts, self.experts)
        return torch.add(merge_segments(y, self.num_segments), self.shared(tokens)).view(*x.shape)
