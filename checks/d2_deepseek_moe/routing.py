"""A built router of an answer: its bias, what it routes, and the affinities of all experts."""

from dataclasses import replace

import torch
from torch import Tensor

from checks.d1_moe import routed
from checks.d1_moe.cases import dense_gates
from checks.d2_deepseek_moe.cases import Biased, affinities
from checks.grading import expect
from checks.grading.result import Built, Wrong


def new_router(answer: type, case: Biased) -> Built:
    """A router as its constructor makes it."""
    ask = (
        f"It is made with num_experts={case.num_experts}, top_k={case.top_k}, "
        f"num_groups={case.num_groups} and top_groups={case.top_groups}: does another number stand "
        "where one of them belongs?"
    )
    with expect.asking(ask, "ValueError: (top_k|num_groups|top_groups) must"):
        router = answer(case.d_model, case.num_experts, case.top_k, **case.options())
    expect.module(router, "BiasedRouter")
    return router


def router_of(answer: type, case: Biased) -> Built:
    """A router in the type of the case."""
    return new_router(answer, case).to(case.dtype)


def router_with_bias(answer: type, case: Biased, bias: Tensor) -> Built:
    router = router_of(answer, case)
    with torch.no_grad():
        router.bias.copy_(bias)
    return router


def route(router: Built, x: Tensor, case: Biased) -> tuple[Tensor, Tensor]:
    """The router's gates and choices, once they have the right kind, range, and no repeats."""
    gates, experts = _expect_finite(router, *expect.pair(router(x), ("gates", "experts")))
    gates, experts = routed.kinds(gates, experts, x, case)
    routed.expect_different(experts, case.top_k)
    return gates.detach(), experts


def _expect_finite(router: Built, gates: object, experts: object) -> tuple[object, object]:
    if isinstance(gates, Tensor) and not gates.isfinite().all():
        if not router.bias.any():
            ask = "Are all affinities of a token 0, so that their sum is? No 0 may divide."
            raise Wrong(f"gates must be finite, got NaN or infinity. {ask}")
        low, high = router.bias.min(), router.bias.max()
        raise Wrong(
            "gates must be finite, got NaN or infinity, with biases from "
            f"{low:,.1f} to {high:,.1f}. Does the bias enter a gate, "
            "or the sum that divides? Gates are of affinities."
        )
    return gates, experts


def scores_of(answer: type, router: Built, x: Tensor, case: Biased) -> Tensor:
    """`(T, E)`: the affinities of all experts, from the given weight or from the router's own."""
    weight = given_weight(router, case)
    if weight is None:
        return torch.cat([own_scores(answer, router, row, case) for row in x.split(1)])
    return affinities(x @ weight.detach().T, case)


def given_weight(router: Built, case: Biased) -> Tensor | None:
    """The weight `(E, D)` of the given constructor, or None in a router laid out otherwise."""
    named = dict(router.named_parameters())
    weight = named.get("gate.weight")
    fits = weight is not None and weight.shape == (case.num_experts, case.d_model)
    return weight if fits and len(named) == 1 else None


def own_scores(answer: type, router: Built, x: Tensor, case: Biased) -> Tensor:
    """The affinities of all experts: the gates of a router with the same weights, top_k = E,
    no groups, no bias, no scale and nothing renormalised.
    """
    plain = replace(
        case, top_k=case.num_experts, renormalise=False, scale=1.0, num_groups=1, top_groups=1
    )
    full = router_of(answer, plain)
    try:
        full.load_state_dict(router.state_dict())
    except RuntimeError:
        raise Wrong(
            "the weights must not depend on top_k or groups, and their names or shapes do. "
            "Which shape has the projection?"
        ) from None
    with torch.no_grad():
        full.bias.zero_()
    return dense_gates(*route(full, x, plain), case.num_experts)
