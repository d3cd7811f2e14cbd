"""Wrong answers to D2.3d DeepSeekMoE: wrong segments."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.deepseek_moe.steps import Stepwise
from checks.audit.bank.d2_deepseek_moe.merge_segments import slice_major as merged_slice_major
from checks.audit.bank.d2_deepseek_moe.merge_segments import strided as merged_strided
from checks.audit.bank.d2_deepseek_moe.segment_tokens import slice_major as cut_slice_major
from checks.audit.bank.d2_deepseek_moe.segment_tokens import strided as cut_strided
from solutions.d2_deepseek_moe import BiasedRouter, merge_segments


@wrong
class FirstSegmentDecides(Stepwise):
    """All slices of a token go where its first one goes."""

    def route(self, rows):
        first = self.router(rows[:: self.num_segments])
        return tuple(y.repeat_interleave(self.num_segments, dim=0) for y in first)


@wrong
class MeanOfSegmentsDecides(Stepwise):
    """All slices of a token go where their mean goes."""

    def route(self, rows):
        mean = rows.unflatten(0, (-1, self.num_segments)).mean(dim=1)
        return tuple(y.repeat_interleave(self.num_segments, dim=0) for y in self.router(mean))


@wrong
class FirstSequenceDecides(Stepwise):
    """The first half of the rows decides for the second, where there is a second."""

    def route(self, rows):
        half = (len(rows) + 1) // 2
        return tuple(torch.cat([y, y])[: len(rows)] for y in self.router(rows[:half]))


@wrong
class WholeTokenRoutes(Stepwise):
    """The router reads whole tokens, and all slices of a token go the same way."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        options.pop("num_segments", None)
        self.router = BiasedRouter(d_model, num_experts, top_k, **options)

    def route(self, rows):
        whole = self.router(merge_segments(rows, self.num_segments))
        return tuple(y.repeat_interleave(self.num_segments, dim=0) for y in whole)


@wrong
class SegmentsIgnored(Stepwise):
    """num_segments is ignored: whole tokens are routed."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        options["num_segments"] = 1
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)


@wrong
class GroupsLostWithSegments(Stepwise):
    """With segments the groups of experts are ignored."""

    def __init__(self, *sizes, num_segments=1, **options):
        if num_segments > 1:
            options |= {"num_groups": 1, "top_groups": 1}
        super().__init__(*sizes, num_segments=num_segments, **options)


@wrong
class SegmentsOfPositions(Stepwise):
    """Cuts along the positions: a row holds one feature of several tokens."""

    def forward(self, x):
        turned = x.transpose(1, 2)
        routed = self.routed(turned.reshape(-1, x.shape[2])).reshape(turned.shape)
        return routed.transpose(1, 2) + self.shared(x)


@wrong
class MergedSliceMajor(Stepwise):
    """Merged as if all first slices came first."""

    def merge(self, rows):
        return merged_slice_major(rows, self.num_segments)


@wrong
class MergedStrided(Stepwise):
    """Merged with the features of the slices interleaved."""

    def merge(self, rows):
        return merged_strided(rows, self.num_segments)


@wrong
class CutSliceMajor(Stepwise):
    """Cut with all first slices first, and merged so: last_experts is in another order."""

    def cut(self, tokens):
        return cut_slice_major(tokens, self.num_segments)

    def merge(self, rows):
        return merged_slice_major(rows, self.num_segments)


@wrong
class CutStrided(Stepwise):
    """Slice s takes every m-th feature, cut and merged alike."""

    def cut(self, tokens):
        return cut_strided(tokens, self.num_segments)

    def merge(self, rows):
        return merged_strided(rows, self.num_segments)


@wrong
class OverSegments(Stepwise):
    """What is routed divided by the number of segments."""

    def routed(self, tokens):
        return super().routed(tokens) / self.num_segments
