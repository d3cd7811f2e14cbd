"""A layer of the answer's making, its parts, and what a call gives once it has the right kind."""

import torch
from torch import Tensor, nn

from checks.d1_moe.cases import CHOICES, TOKENS, Routing
from checks.grading import expect
from checks.grading.result import Built
from checks.grading.strided import strided


def new_layer(answer: type, case: Routing) -> Built:
    layer = answer(case.d_model, case.num_experts, case.top_k, case.expert_dim)
    expect.module(layer, "MoELayer")
    return layer.to(case.dtype)


def batch(case: Routing) -> Tensor:
    """`(B, L, D)`, not contiguous in a case that says so."""
    rows = case.tokens // 3 if case.tokens > 3 else 1
    shape = (3, rows, case.d_model) if case.tokens > 3 else (1, 1, case.d_model)
    x = torch.randn(shape, generator=case.generator(), dtype=case.dtype)
    return x if case.contiguous else strided(x)


def forward(layer: Built, x: Tensor, case: Routing, when: str = "") -> tuple[Tensor, Tensor]:
    """The output and the choices the layer remembers, once both have the right kind.

    `when` says of which call they are.
    """
    y = expect.tensor(layer(x), f"the output{when}", x.shape, x.dtype, axes=TOKENS)
    expect.require(
        hasattr(layer, "last_experts"),
        "the layer must keep the router's choices as self.last_experts, and it has none",
        "Which of the two things that the router returns are they?",
    )
    chosen, shape = layer.last_experts, (x.shape[0] * x.shape[1], case.top_k)
    expect.require(
        not _are_gates(chosen, shape),
        f"last_experts{when} must be the router's choices, int64, and each of its rows sums to 1",
        "Of the two things that the router returns, are those the gates?",
    )
    ask = _why_other_choices(chosen, shape)
    expect.tensor(chosen, f"last_experts{when}", shape, torch.int64, ask, CHOICES)
    low, high = int(chosen.min()), int(chosen.max())
    expect.require(
        low >= 0 and high < case.num_experts,
        f"last_experts must lie between 0 and {case.num_experts - 1}, got {low} to {high}",
        "Are all four sizes handed on, in their order?",
    )
    return y, chosen


def _are_gates(chosen: object, shape: tuple[int, int]) -> bool:
    if not isinstance(chosen, Tensor) or chosen.shape != shape or not chosen.is_floating_point():
        return False
    return float((chosen.detach().double().sum(-1) - 1).abs().max()) < 0.02


def _why_other_choices(chosen: object, shape: tuple[int, int]) -> str:
    if isinstance(chosen, Tensor) and chosen.ndim == 2 and len(chosen) == shape[0]:
        return "Does top_k reach the router as it came, and are all of its choices kept?"
    return "Does it hold the experts that the router returned in this call, one row per token?"


def parts_of(layer: Built) -> tuple[Built, Built] | None:
    """The layer's router and its array of experts, whatever their names, or None without them."""
    arrays = [part for part in layer.children() if hasattr(part, "__getitem__")]
    routers = [part for part in layer.children() if part not in arrays]
    router = getattr(layer, "router", routers[0] if len(routers) == 1 else None)
    experts = getattr(layer, "experts", arrays[0] if len(arrays) == 1 else None)
    if isinstance(router, nn.Linear) or router is None or not hasattr(experts, "__getitem__"):
        return None
    return None if isinstance(experts, Tensor) else (router, experts)
