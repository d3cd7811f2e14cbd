"""A router of the answer's making, and its gates and choices once they have the right kind."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.cases import CHOICES, Routing
from checks.grading import expect
from checks.grading.result import Built

_OVER_EXPERTS = "Does topk run over the experts of each token?"


def new_router(answer: type, case: Routing, top_k: int | None = None) -> Built:
    router = answer(case.d_model, case.num_experts, top_k or case.top_k)
    expect.module(router, "TopKRouter")
    with torch.no_grad():  # any start will do, also one of zeros
        for weight in router.to(case.dtype).parameters():
            weight.copy_(torch.randn(weight.shape, dtype=weight.dtype) / 2)
    return router


def route(router: Built, x: Tensor, case: Routing) -> tuple[Tensor, Tensor]:
    """The router's gates and choices, once they have the right kind and range."""
    return kinds(*expect.pair(router(x), ("gates", "experts")), x, case)


def kinds(gates: Any, experts: Any, x: Tensor, case: Routing) -> tuple[Tensor, Tensor]:
    """What a router returned, once it has the right kind and range."""
    shape = (len(x), case.top_k)
    swapped = isinstance(gates, Tensor) and gates.dtype == torch.int64
    ask = "Is the order (gates, experts)?" if swapped else _kind_of_gates(gates, shape)
    expect.tensor(gates, "gates", shape, x.dtype, ask, CHOICES)
    ask = "Are they the indices that topk returns?"
    expect.tensor(experts, "experts", shape, torch.int64, ask, CHOICES)
    low, high = int(experts.min()), int(experts.max())
    expect.require(
        low >= 0 and high < case.num_experts,
        f"experts must lie between 0 and num_experts - 1 = {case.num_experts - 1}, "
        f"got {low} to {high}",
        _OVER_EXPERTS,
    )
    return gates, experts


def _kind_of_gates(gates: object, shape: tuple[int, int]) -> str:
    if isinstance(gates, Tensor) and gates.shape == shape:
        return "Do gates come back in the type of x?"
    return "Is there one gate for each of a token's top_k experts, in a tensor?"


def expect_different(experts: Tensor, top_k: int) -> None:
    """Raise Wrong if a token was given the same expert twice."""
    for t, row in enumerate(experts.tolist()):
        expect.require(
            len(set(row)) == top_k,
            f"a token needs {top_k} different experts: token {t} got {row}",
            _OVER_EXPERTS,
        )


def expect_own_choices(layer: Built, run_another: Callable[[], object]) -> None:
    """Raise Wrong if the choices that a layer remembers change when another layer runs."""
    kept = layer.last_experts.clone()
    run_another()
    expect.require(
        torch.equal(layer.last_experts, kept),
        "last_experts must be the choices of this layer, and they are others once another layer "
        "has run",
        "Is it kept on the object, self.last_experts, and not on its class or in a global?",
    )
