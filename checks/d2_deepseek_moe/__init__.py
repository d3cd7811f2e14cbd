"""The checks of D2, in the order of the lesson."""

from checks.d2_deepseek_moe.balancing.bias import check_update_bias
from checks.d2_deepseek_moe.balancing.control import check_control_bias
from checks.d2_deepseek_moe.balancing.rebalance import check_rebalance
from checks.d2_deepseek_moe.balancing.steer import check_steer
from checks.d2_deepseek_moe.border import check_most_experts
from checks.d2_deepseek_moe.fine_grained import check_fine_grained
from checks.d2_deepseek_moe.groups import check_keep_top_groups
from checks.d2_deepseek_moe.layer import check_deepseek_moe
from checks.d2_deepseek_moe.router import check_biased_router
from checks.d2_deepseek_moe.segments import check_merge_segments, check_segment_tokens
from checks.d2_deepseek_moe.shared import check_shared_experts

CHECKS = (
    check_shared_experts,
    check_segment_tokens,
    check_merge_segments,
    check_fine_grained,
    check_keep_top_groups,
    check_biased_router,
    check_update_bias,
    check_deepseek_moe,
    check_rebalance,
    check_control_bias,
    check_most_experts,
)

OPEN_TASKS = (check_steer,)
