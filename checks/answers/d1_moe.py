"""Right and wrong answers to the exercises of D1."""

from checks.answers import (
    d1_cv,
    d1_dispatch_right,
    d1_dispatch_wrong,
    d1_dropped,
    d1_experts_right,
    d1_experts_wrong,
    d1_layer_right,
    d1_layer_wrong,
    d1_load,
    d1_router_right,
    d1_router_wrong,
    d1_router_wrong_form,
    d1_sorted,
    d1_violation,
)
from checks.answers.bank import Bank

_PARTS = (
    d1_router_right,
    d1_router_wrong,
    d1_router_wrong_form,
    d1_experts_right,
    d1_experts_wrong,
    d1_dispatch_right,
    d1_dispatch_wrong,
    d1_load,
    d1_cv,
    d1_violation,
    d1_layer_right,
    d1_layer_wrong,
    d1_sorted,
    d1_dropped,
)

bank = Bank("d1_moe", *(part.bank for part in _PARTS))

bank.equivalent.update(
    {
        (
            "D1.1",
            "gates, experts = probs.topk(self.top_k, dim=-1) → "
            "gates, experts = probs.topk(self.top_k)",
        ): "the last dimension is what topk takes when none is named",
        (
            "D1.I1",
            "order = experts.flatten().argsort(stable=True) → order = experts.flatten().argsort()",
        ): "the order of rows inside one expert's run changes no sum",
    }
)
