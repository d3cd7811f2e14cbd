"""Right and wrong answers to the exercises of D2."""

from checks.answers import (
    d2_control,
    d2_fine_grained,
    d2_groups_right,
    d2_groups_wrong,
    d2_layer_right,
    d2_layer_wrong,
    d2_layer_wrong_form,
    d2_layer_wrong_segments,
    d2_merge,
    d2_most_experts,
    d2_rebalance,
    d2_router_right,
    d2_router_wrong,
    d2_router_wrong_form,
    d2_router_wrong_gates,
    d2_segment,
    d2_shared_right,
    d2_shared_wrong,
    d2_shared_wrong_form,
    d2_update,
)
from checks.answers.bank import Bank

_PARTS = (
    d2_shared_right,
    d2_shared_wrong,
    d2_shared_wrong_form,
    d2_segment,
    d2_merge,
    d2_fine_grained,
    d2_groups_right,
    d2_groups_wrong,
    d2_router_right,
    d2_router_wrong,
    d2_router_wrong_gates,
    d2_router_wrong_form,
    d2_update,
    d2_layer_right,
    d2_layer_wrong,
    d2_layer_wrong_form,
    d2_layer_wrong_segments,
    d2_rebalance,
    d2_control,
    d2_most_experts,
)

bank = Bank("d2_deepseek_moe", *(part.bank for part in _PARTS))

bank.equivalent.update(
    {
        (
            "D2.3a",
            "return groups.masked_fill(dropped[..., None], -torch.inf).flatten(1) → "
            "return groups.masked_fill(dropped[..., None], 1 + -torch.inf).flatten(1)",
        ): "1 + -inf is -inf",
        (
            "D2.3b",
            "biased = scores.detach() + self.bias → biased = scores + self.bias",
        ): "the indices of topk carry no gradient",
        (
            "D2.3e",
            "rows = real.reshape(-1).repeat_interleave(layer.num_segments) → "
            "rows = real.repeat_interleave(layer.num_segments)",
        ): "repeat_interleave flattens where no dimension is named",
        (
            "D2.I1",
            "bias, path = (torch.zeros_like(affinity[0, 0]), []) → "
            "bias, path = (torch.zeros_like(affinity[0, 1]), [])",
        ): "zeros like any token's affinities are the same zeros",
        (
            "D2.I1",
            "experts = (scores + bias).topk(top_k, dim=-1).indices → "
            "experts = (scores + bias).topk(top_k).indices",
        ): "the last dimension is what topk takes when none is named",
    }
)
