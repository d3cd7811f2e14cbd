"""A router of the answer's making, and its gates and choices once they have the right kind."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.cases import CHOICES, Routing
from checks.grading import expect
from checks.grading.result import Built

_INDICES = "Are they the indices that topk returns, over num_experts logits of each token?"
SAME_EXPERT_FOUND = (
    "Is an expert looked up by its probability, where two have the same? topk returns the indices "
    "too."
)


def new_router(answer: type, case: Routing, top_k: int | None = None) -> Built:
    router = answer(case.d_model, case.num_experts, top_k or case.top_k)
    expect.module(router, "TopKRouter")
    with torch.no_grad():  # any start will do, also one of zeros
        for weight in router.to(case.dtype).parameters():
            weight.copy_(torch.randn(weight.shape, dtype=weight.dtype) / 2)
    return router


def route(router: Built, x: Tensor, case: Routing, ask: str = "") -> tuple[Tensor, Tensor]:
    """The router's gates and choices, once they have the right kind and range.

    `ask` is the question about an error that the router raises.
    """
    out_of_range = "selected index k out of range"
    with expect.asking(ask or _TOO_FEW, r"^\w+Error" if ask else out_of_range):
        returned = router(x)
    return kinds(*expect.pair(returned, ("gates", "experts")), x, case)


_TOO_FEW = "Has each token num_experts logits, and does topk run over them?"


def kinds(gates: Any, experts: Any, x: Tensor, case: Routing) -> tuple[Tensor, Tensor]:
    """What a router returned, once it has the right kind and range."""
    shape = (len(x), case.top_k)
    swapped = isinstance(gates, Tensor) and gates.dtype == torch.int64
    ask = "Is the order (gates, experts)?" if swapped else _kind_of_gates(gates, shape, case)
    expect.tensor(gates, "gates", shape, x.dtype, ask, CHOICES)
    ask = "Are they the indices that topk returns?"
    expect.tensor(experts, "experts", shape, torch.int64, ask, CHOICES)
    low, high = int(experts.min()), int(experts.max())
    expect.require(
        low >= 0 and high < case.num_experts,
        f"experts must lie between 0 and num_experts - 1 = {case.num_experts - 1}, "
        f"got {low} to {high}",
        _INDICES,
    )
    return gates, experts


def _kind_of_gates(gates: object, shape: tuple[int, int], case: Routing) -> str:
    came = gates.shape if isinstance(gates, Tensor) else ()
    if came == shape:
        return "Do gates come back in the type of x?"
    if came == (case.top_k, case.num_experts):
        return "Those are top_k tokens for each expert: does topk run over the tokens?"
    return "Is there one gate for each of a token's top_k experts, in a tensor?"


def expect_different(experts: Tensor, top_k: int, when: str = "", ask: str = "") -> None:
    """Raise Wrong if a token was given the same expert twice.

    `when` says under what condition, and `ask` is the question that goes with it.
    """
    needs = f"a token needs {top_k} different experts{when and f', also {when}'}"
    ask = ask or _why_twice(experts)
    for t, row in enumerate(experts.tolist()):
        expect.require(len(set(row)) == top_k, f"{needs}: token {t} got {row}", ask)


def _why_twice(experts: Tensor) -> str:
    if (experts == experts[:, :1]).all():
        return "Each token has one expert in every slot: is its first choice repeated?"
    return f"{_INDICES} Those are different ones."


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
