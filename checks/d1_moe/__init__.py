"""The checks of D1, in the order of the lesson."""

from checks.d1_moe.capacity import check_dropped_share
from checks.d1_moe.dispatch import check_dispatch, check_sorted_dispatch
from checks.d1_moe.experts import check_expert_array
from checks.d1_moe.fast_dispatch import check_fast_dispatch
from checks.d1_moe.layer import check_moe_layer
from checks.d1_moe.load import check_expert_load
from checks.d1_moe.metrics import check_load_cv, check_max_violation
from checks.d1_moe.router import check_router

CHECKS = (
    check_router,
    check_expert_array,
    check_dispatch,
    check_expert_load,
    check_load_cv,
    check_max_violation,
    check_moe_layer,
    check_sorted_dispatch,
    check_dropped_share,
)

OPEN_TASKS = (check_fast_dispatch,)
