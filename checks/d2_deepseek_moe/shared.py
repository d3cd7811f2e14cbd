"""The check of D2.1: experts that every token passes through."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import reached
from checks.d2_deepseek_moe.shared_slips import (
    EACH_A_SWIGLU,
    activation_slips,
    own_slips,
    sum_slips,
    swiglu,
    why_other_count,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import (
    expect_other_starts,
    expect_own_memory,
    in_both_modes,
    made_in_type_in_force,
)
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class _Shared:
    """One case; `shape` are the leading dimensions of x."""

    shape: tuple[int, ...]
    d_model: int
    expert_dim: int
    num_shared: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        return (
            f"x of shape {(*self.shape, self.d_model)}, d_model={self.d_model}, "
            f"expert_dim={self.expert_dim}, num_shared={self.num_shared}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def x(self) -> Tensor:
        shape = (*self.shape, self.d_model)
        drawn = torch.randn(shape, generator=self.generator(), dtype=self.dtype)
        return drawn if self.contiguous else strided(drawn)


def _shareds(rng: random.Random) -> list[_Shared]:
    """Five cases: one to three experts, and x with one, two and three dimensions."""

    def case(shape: tuple[int, ...], num_shared: int, **kind: Any) -> _Shared:
        d_model, expert_dim = rng.sample(range(6, 12), 2)
        return _Shared(shape, d_model, expert_dim, num_shared, rng.randrange(10**6), **kind)

    tokens, length = rng.sample(range(4, 9), 2)
    return [
        case((tokens,), 1),
        case((tokens,), 2, dtype=torch.float32),
        case((3, length), 3, contiguous=False),
        case((1, 1), rng.randint(2, 3)),
        case((), 2),
    ]


def _layer(answer: type, case: _Shared) -> Built:
    return _new_layer(answer, case).to(case.dtype)


def _new_layer(answer: type, case: _Shared) -> Built:
    ask = "A width came as a float: is it num_shared × expert_dim, a whole number?"
    with expect.asking(ask, "TypeError: empty.* of type float"):
        layer = answer(case.d_model, case.expert_dim, case.num_shared)
    expect.module(layer, "SharedExperts")
    return layer


def _rows(layer: Built, x: Tensor) -> Tensor:
    """The output, one row per token, once it has the right kind."""
    types = f"Layer and x are {str(x.dtype)[6:]} here: what turns one of the two to another type?"
    with (
        expect.asking(types, "same dtype|expected scalar type"),
        expect.asking(_why_unfit(layer, x), "shapes cannot be multiplied"),
    ):
        y = layer(x)
    y = expect.tensor(y, "the output", x.shape, x.dtype, _why_other_kind(y, x))
    return y.detach().reshape(-1, x.shape[-1])


def _why_unfit(layer: Built, x: Tensor) -> str:
    """The question to a network that reads rows of another width; empty where none is found."""
    for net in layer.modules():
        weight = getattr(getattr(net, "gate", None), "weight", None)
        if isinstance(weight, Tensor) and weight.shape[1:] and weight.shape[1] != x.shape[-1]:
            return (
                f"A network reads {weight.shape[1]} numbers, and x has d_model = {x.shape[-1]}: is "
                "d_model the first argument of SwiGLU, and the width the second?"
            )
    return ""


def _why_other_kind(y: object, x: Tensor) -> str:
    if isinstance(y, Tensor) and y.ndim == x.ndim + 1:
        return "Or are the outputs stacked, and their sum is still to come?"
    if isinstance(y, Tensor) and y.ndim < x.ndim and y.shape == x.squeeze().shape:
        return "Are dimensions of size 1 squeezed away?"
    return "Is it one sum of all shared experts' outputs, in the shape and type of x?"


def _shared_shapes(answer: type, case: _Shared) -> None:
    layer, x = _layer(answer, case), case.x()
    _rows(layer, x)
    _rows(layer.bfloat16(), x.bfloat16())


def _shared_registered(answer: type, case: _Shared) -> None:
    held = sum(p.numel() for p in _layer(answer, case).parameters())
    want = case.num_shared * 3 * case.d_model * case.expert_dim
    expect.require(
        held == want,
        "parameters() must hold num_shared × 3 × d_model × expert_dim = "
        f"{case.num_shared} × 3 × {case.d_model} × {case.expert_dim} = {want} numbers, got {held}",
        why_other_count(held, want, case.num_shared, case.d_model),
    )
    expect_own_memory(_new_layer(answer, case))


def _shared_sum(answer: type, case: _Shared) -> None:
    """Of drawn weights, and of equal ones."""
    layer = _layer(answer, case)
    _expect_drawn(layer, case)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(_WEIGHT)
    _expect_equal(layer, case)


_WEIGHT = 0.3


def _expect_equal(layer: Built, case: _Shared) -> None:
    """With all weights one number the value is known in closed form, whatever the layout."""
    x = case.x()
    tokens = x.double().reshape(-1, case.d_model)
    hidden = _WEIGHT * tokens.sum(-1, keepdim=True)

    def of(activation: Callable) -> Tensor:
        return (case.expert_dim * _WEIGHT * activation(hidden) * hidden).expand_as(tokens)

    name = f"the output with every weight {_WEIGHT}, which is the same for all layouts,"
    got, want = _rows(layer, x), case.num_shared * of(F.silu)
    slips = sum_slips(want, of(F.silu), tokens, case.num_shared)
    slips |= activation_slips(lambda other: case.num_shared * of(other))
    expect.close(got, want, name, slips=slips | {EACH_A_SWIGLU: lambda: got})


def _expect_drawn(layer: Built, case: _Shared) -> None:
    x, networks = case.x(), [net for net in layer.modules() if _weights(net, case)]
    units = [unit for net in networks for unit in zip(*_weights(net, case), strict=True)]
    if len(units) != case.num_shared * case.expert_dim:
        return  # laid out otherwise: equal weights and gradients judge it
    experts = [
        units[i * case.expert_dim : (i + 1) * case.expert_dim] for i in range(case.num_shared)
    ]
    tokens = x.double().reshape(-1, case.d_model)
    outs = torch.stack([swiglu(expert, tokens) for expert in experts])  # (N, T, D)
    got, want = _rows(layer, x), outs.sum(0)
    slips = sum_slips(want, outs[0], tokens, case.num_shared) | own_slips(outs, experts, tokens)
    again = _rows(layer, x)
    if not expect.near(again, got):
        slips = {"Is something drawn, or made anew, in forward?": lambda: got}
    expect.close(got, want, "the output", slips=slips)


def _weights(net: Built, case: _Shared) -> tuple[Tensor, ...]:
    """The weights of a SwiGLU, one row per hidden unit; empty if the module is none."""
    named = (getattr(getattr(net, name, None), "weight", None) for name in ("gate", "up", "down"))
    found = [weight for weight in named if isinstance(weight, Tensor) and weight.ndim == 2]
    if len(found) < 3:
        return ()
    gate, up, down = (weight.detach().double() for weight in found)
    right = gate.shape == up.shape == down.T.shape and gate.shape[1] == case.d_model
    return (gate, up, down.T) if right else ()


def _shared_starts(answer: type, case: _Shared) -> None:
    weights = torch.cat([p.detach().flatten() for p in _layer(answer, case).parameters()])
    drawn = weights[weights != 0]
    differ = drawn.unique().numel()
    expect.require(
        differ > 0.75 * len(drawn),
        f"shared experts must start from different numbers: of {len(drawn)} weights only "
        f"{differ} differ, and equal experts get equal gradients for ever",
        "Was one expert copied, or is a seed set before each?",
    )
    expect_other_starts(lambda: _new_layer(answer, case), "layers")


def _shared_use(answer: type, case: _Shared) -> Used:
    layer, x = _layer(answer, case), case.x()
    return lambda: layer(x), lambda: {"x": x}


def _shared_gradients(answer: type, case: _Shared) -> None:
    """With drawn weights, so that a start from zeros hides nothing."""
    layer, x = _layer(answer, case).double(), case.x().double().requires_grad_()
    frozen = [name for name, p in layer.named_parameters() if not p.requires_grad]
    ask = "Is there a `requires_grad_(False)`, or requires_grad=False?"
    expect.require(not frozen, f"all weights must learn, and {', '.join(frozen)} cannot", ask)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    inputs = {"x": x, **dict(layer.named_parameters())}
    expect.gradient(lambda: (layer(x) * direction).sum(), inputs, case.generator())
    idle = int((~reached(layer(x) * direction, list(layer.parameters()))).sum())
    expect.require(
        idle == 0,
        f"every weight must get a gradient, and {idle} numbers get none",
        "Is one of the shared experts never called?",
    )


check_shared_experts = Check(
    id="D2.1",
    name="SharedExperts",
    reference_answer=reference.SharedExperts,
    draw=_shareds,
    stages=in_both_modes(
        {
            "as many weights as num_shared experts, all registered": _shared_registered,
            "shapes and types, any leading dimensions": _shared_shapes,
            "inputs untouched": untouched(_shared_use),
            "type left to the caller": made_in_type_in_force(_new_layer),
            "the sum of num_shared SwiGLUs within 1e-5": _shared_sum,
            "different starts": _shared_starts,
            "gradients reach x and every weight": _shared_gradients,
        }
    ),
    hints=(
        "A SwiGLU sums over its hidden units. What is the sum of two SwiGLUs on the same x, if "
        "you lay their hidden units side by side?",
        "Look at SwiGLU(d_model, width): which width holds num_shared experts of expert_dim?",
        "Let self.experts be what computes the sum of all shared experts: one SwiGLU from d_model, "
        "as wide as num_shared times expert_dim.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64),),
        build=lambda answer: answer(64, 96, 2),
        run=lambda layer, inputs: layer(*inputs),
    ),
)
