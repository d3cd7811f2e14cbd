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
