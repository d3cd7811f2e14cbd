"""The check of D2.1: experts that every token passes through."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import reached
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
    layer = answer(case.d_model, case.expert_dim, case.num_shared)
    expect.module(layer, "SharedExperts")
    return layer


def _rows(layer: Built, x: Tensor) -> Tensor:
    """The output, one row per token, once it has the right kind."""
    ask = "Is it one sum of all shared experts' outputs, in the shape and type of x?"
    y = expect.tensor(layer(x), "the output", x.shape, x.dtype, ask)
    return y.detach().reshape(-1, x.shape[-1])


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
        _registered_slip(held, want, case),
    )
    expect_own_memory(_new_layer(answer, case))


def _registered_slip(held: int, want: int, case: _Shared) -> str:
    """The question that a wrong number of weights calls for."""
    one = want // case.num_shared
    if held == one:
        return "Those are one expert's: is one module listed several times, or made only once?"
    if held < want:
        return "Does PyTorch know of each expert? It does not look into a Python list."
    width, rest = divmod(held, 3 * case.d_model)
    if rest == 0:
        return f"Those are networks of width {width} together: is it num_shared × expert_dim?"
    return "Which other weights are there? The experts have no bias, and their sum has no gate."


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
    one = (case.expert_dim * _WEIGHT * F.silu(hidden) * hidden).expand_as(tokens)
    name = f"the output with every weight {_WEIGHT}, which is the same for all layouts,"
    want = case.num_shared * one
    expect.close(_rows(layer, x), want, name, slips=_slips(want, one, tokens, case))


def _expect_drawn(layer: Built, case: _Shared) -> None:
    x, networks = case.x(), [net for net in layer.modules() if _weights(net, case)]
    units = [unit for net in networks for unit in zip(*_weights(net, case), strict=True)]
    if len(units) != case.num_shared * case.expert_dim:
        return  # laid out otherwise: equal weights and gradients judge it
    experts = [
        units[i * case.expert_dim : (i + 1) * case.expert_dim] for i in range(case.num_shared)
    ]
    tokens = x.double().reshape(-1, case.d_model)
    outs = torch.stack([_swiglu(expert, tokens) for expert in experts])  # (N, T, D)
    got, want = _rows(layer, x), outs.sum(0)
    slips = _slips(want, outs[0], tokens, case) | _order_slips(outs, experts, tokens, case)
    again = _rows(layer, x)
    if not expect.near(again, got):
        slips = {"Is something drawn, or made anew, in forward?": lambda: got}
    expect.close(got, want, "the output", slips=slips)


def _swiglu(units: list, x: Tensor, activation: Callable = F.silu) -> Tensor:
    """The sum over hidden units, each given as its rows of gate, up and down."""
    parts = [torch.outer(activation(x @ gate) * (x @ up), down) for gate, up, down in units]
    return torch.stack(parts).sum(0)


def _slips(want: Tensor, first: Tensor, tokens: Tensor, case: _Shared) -> dict:
    return {
        "Is it a mean over the shared experts? They are summed, unweighted.": lambda: (
            want / case.num_shared
        ),
        "Is the sum divided by a root? It is a plain sum.": lambda: want / case.num_shared**0.5,
        "Is only the first shared expert used?": lambda: first,
        "Does the first shared expert stand in for all of them?": lambda: case.num_shared * first,
        "Is x added to the output? The residual is the block's work.": lambda: want + tokens,
    }


def _order_slips(outs: Tensor, experts: list, tokens: Tensor, case: _Shared) -> dict:
    def in_a_row(start: Tensor, residual: bool) -> Tensor:
        y = start
        for units in experts:
            y = _swiglu(units, y) + (y if residual else 0)
        return y - start if residual else y

    normed = F.layer_norm(tokens, tokens.shape[-1:])
    return {
        "Does the last shared expert replace the others, not add to them?": lambda: outs[-1],
        "Does each shared expert read x, and not what the one before it made?": lambda: in_a_row(
            tokens, residual=False
        ),
        "Does each shared expert read x alone, without the sum so far?": lambda: in_a_row(
            tokens, residual=True
        ),
        "Is it the largest of the outputs, where their sum belongs?": lambda: outs.amax(0),
        "Is x added once per shared expert? The residual is the block's work.": lambda: (
            outs.sum(0) + case.num_shared * tokens
        ),
        "Is x brought to length 1 first? That is the block's work.": lambda: sum(
            _swiglu(units, F.normalize(tokens, dim=-1)) for units in experts
        ),
        "Is x normalised first? That is the block's work.": lambda: sum(
            _swiglu(units, normed) for units in experts
        ),
        "Is the activation SiLU, as in SwiGLU of helpers.model.llama?": lambda: sum(
            _swiglu(units, tokens, F.gelu) for units in experts
        ),
    }


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
