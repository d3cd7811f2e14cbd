"""The check of D1.2: the array of experts."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.d1_moe.cases import ROWS, Routing, reached, routings
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
from solutions import d1_moe as reference


def _array(answer: type, case: Routing) -> Built:
    return _new_array(answer, case).to(case.dtype)


def _new_array(answer: type, case: Routing) -> Built:
    array = answer(case.d_model, case.expert_dim, case.num_experts)
    expect.module(array, "ExpertArray")
    return array


def _outputs(array: Built, x: Tensor) -> Tensor:
    """`(E, T, D)`: every expert's output on the same rows."""
    outs = [array[i](x) for i in range(len(array))]
    return torch.stack(
        [
            expect.tensor(y, f"array[{i}](x)", x.shape, x.dtype, axes=ROWS)
            for i, y in enumerate(outs)
        ]
    )


def _array_shapes(answer: type, case: Routing) -> None:
    array = _array(answer, case)
    expect.require(
        not _takes(array[0], case.expert_dim, case) or _takes(array[0], case.d_model, case),
        f"array[0] must take rows of width d_model={case.d_model}, and it takes rows of width "
        f"expert_dim={case.expert_dim}",
        "Are the two sizes in each other's place?",
    )
    _outputs(array, case.x())
    ask = "That is with weights and x in bfloat16: does either come in another type?"
    with expect.asking(ask, r"^\w+Error"):
        _outputs(array.bfloat16(), case.x().bfloat16())


def _takes(expert: Callable, width: int, case: Routing) -> bool:
    try:
        expert(torch.ones(1, width, dtype=case.dtype))
    except Exception:  # whatever an expert raises that looks at the width itself
        return False
    return True


def _array_registered(answer: type, case: Routing) -> None:
    array = _array(answer, case)
    size = len(array)
    expect.require(
        size == case.num_experts,
        f"len(array) must be num_experts={case.num_experts}, got {size}",
        "Is one network made, and kept, for each of range(num_experts)?",
    )
    held = sum(p.numel() for p in array.parameters())
    want = case.num_experts * 3 * case.d_model * case.expert_dim
    expect.require(
        held == want,
        "parameters() must hold num_experts × 3 × d_model × expert_dim = "
        f"{case.num_experts} × 3 × {case.d_model} × {case.expert_dim} = {want} numbers, "
        f"got {held}",
        "" if held == want else _registered_slip(array, held, case),
    )


def _registered_slip(array: Built, held: int, case: Routing) -> str:
    """The question that a wrong number of weights calls for."""
    matrix = case.d_model * case.expert_dim
    width, rest = divmod(held, case.num_experts * 3 * case.d_model)
    each, left = divmod(held, case.num_experts * matrix)
    if each > 1 and left == 0 and all(p.numel() == matrix for p in array.parameters()):
        return (
            f"Those are {each} matrices for each expert, and SwiGLU has 3, gate, up and down: is "
            "it the one from helpers.model.llama?"
        )
    if held % (3 * matrix) == 0 and held < case.num_experts * 3 * matrix:
        return (
            "Is it a Python list or dict, which PyTorch does not look into, or one expert used "
            "often?"
        )
    if rest == 0:
        return f"Those are experts of width {width}: is expert_dim the hidden width of each?"
    if held % matrix == 0:
        return "Has each expert a gate, an up and a down projection of its own?"
    return "Has a layer a bias, or is there more than the experts?"


def _array_independent(answer: type, case: Routing) -> None:
    array, x = _array(answer, case), case.x()
    outs, weights = _outputs(array, x), list(array.parameters())
    expect_own_memory(_new_array(answer, case))
    users = torch.stack([reached(y, weights) for y in outs]).sum(0)
    idle, shared = (users == 0).sum(), (users > 1).sum()
    expect.require(
        idle == 0,
        f"every weight must count for an expert: {int(idle)} numbers get a gradient from none",
        "Is a new expert made at every call, or are all weights zero?"
        if idle == len(users)
        else "Does a gate, an up or a down projection go unused, or start as zeros?",
    )
    expect.require(
        shared == 0,
        f"experts must share no weight: {int(shared)} numbers get a gradient from two experts",
        "Is one module listed several times?",
    )


def _array_swiglu(answer: type, case: Routing) -> None:
    array, x = _array(answer, case), case.x()
    for i in range(len(array)):
        there, back = array[i](x).detach(), array[i](-x).detach()
        twice = (array[i](2 * x) + array[i](-2 * x)).detach()
        ask = "Is it SwiGLU(d_model, expert_dim) from helpers.model.llama?"
        expect.require(
            float((there + back).abs().max()) > 1e-4 * float(there.abs().max()),
            f"expert {i} must be a SwiGLU, and f(x) + f(-x) came as 0, as of a linear map",
            ask,
        )
        name = f"f(2x) + f(-2x), which is 4·(f(x) + f(-x)) of a SwiGLU, in expert {i},"
        expect.close(twice, 4 * (there + back), name, slips={ask: twice.clone})
        _is_some_swiglu(array[i], x, case, i)
    _is_silu_gated(array, x, case)


def _is_some_swiglu(expert: Built, x: Tensor, case: Routing, i: int) -> None:
    """With three matrices, whatever their names, they are gate, up and down in some order."""
    matrices = list(expert.parameters()) if isinstance(expert, nn.Module) else []
    shapes = [tuple(sorted(matrix.shape)) for matrix in matrices]
    if shapes != [tuple(sorted((case.d_model, case.expert_dim)))] * 3:
        return
    got = expert(x).detach()
    wide = [m.detach() if len(m) == case.expert_dim else m.detach().T for m in matrices]
    wants = [_swiglu(x, *order) for order in itertools.permutations(wide)]
    nearest = min(wants, key=lambda want: float((got - want).abs().max()))
    want = next((want for want in wants if expect.near(got, want + x)), nearest)
    slips = {_RESIDUAL: lambda: want + x, _SILU: lambda: got}
    expect.close(got, want, f"expert {i}'s output", slips=slips)


def _is_silu_gated(array: Built, x: Tensor, case: Routing) -> None:
    """With all weights equal their layout does not matter, and the activation shows."""
    with torch.no_grad():
        for weight in array.parameters():
            weight.fill_(0.3)
    hidden = 0.3 * x.sum(-1, keepdim=True)
    want = (0.3 * case.expert_dim * F.silu(hidden) * hidden).expand_as(x)
    for i in range(len(array)):
        got = array[i](x).detach()
        slips: dict[str, Callable[[], Tensor]] = {_RESIDUAL: lambda: want + x, _SILU: got.detach}
        expect.close(got, want, f"expert {i}'s output", when="with every weight 0.3", slips=slips)


_RESIDUAL = "Is x added to what the expert makes? The residual is the block's work."
_SILU = "Is it SwiGLU(d_model, expert_dim) from helpers.model.llama, with SiLU on the gate?"


def _swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """From weights that are all held as `(F, D)`."""
    return (F.silu(x @ gate.T) * (x @ up.T)) @ down


def _array_starts(answer: type, case: Routing) -> None:
    array = _array(answer, case)
    outs = _outputs(array, case.x()).detach()
    for i in range(1, len(outs)):
        same = [j for j in range(i) if torch.allclose(outs[i], outs[j])]
        expect.require(
            not same,
            f"experts must start from different numbers: {same} and {i} give equal outputs, and "
            "gates that sum to 1 then get no gradient",
            "Was one expert copied, or is a seed set before each?",
        )
    _expect_no_near_copies(array, case.x())
    expect_other_starts(lambda: _new_array(answer, case), "arrays")


def _expect_no_near_copies(array: Built, x: Tensor) -> None:
    """No projection of one expert may go up and down with the same one of another."""
    weights = list(array.parameters())
    numbers = nn.utils.parameters_to_vector(weights).detach().double()
    own = [numbers[reached(array[i](x), weights)].chunk(3) for i in range(len(array))]
    for i, j in itertools.combinations(range(len(own)), 2):
        likeness = max(map(_correlation, own[i], own[j]))
        expect.require(
            likeness < 0.9,
            f"each expert must start from random numbers of its own: weights of experts {i} and "
            f"{j} have a correlation of {likeness:.3f}",
            "Was one expert copied, in whole or in part, or changed only a little?",
        )


def _correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's; 0 where one of them is constant."""
    a, b = first - first.mean(), second - second.mean()
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-12))


def _array_use(answer: type, case: Routing) -> Used:
    array, x = _array(answer, case), case.x()
    return lambda: [array[i](x) for i in range(len(array))], lambda: {"x": x}


def _expect_gradient(expert: Callable, x: Tensor, direction: Tensor, name: str, case) -> None:
    expect.gradient(lambda: (expert(x) * direction).sum(), {name: x}, case.generator())


def _array_gradients(answer: type, case: Routing) -> None:
    if case.dtype != torch.float64:
        return
    array, x = _array(answer, case), case.x().requires_grad_()
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    for i in range(len(array)):
        _expect_gradient(array[i], x, direction, f"x, through expert {i},", case)


check_expert_array = Check(
    id="D1.2",
    name="ExpertArray",
    reference_answer=reference.ExpertArray,
    draw=routings,
    stages=in_both_modes(
        {
            "length, every weight registered": _array_registered,
            "shapes and types": _array_shapes,
            "inputs untouched": untouched(_array_use),
            "type left to the caller": made_in_type_in_force(_new_array),
            "every weight used, none shared": _array_independent,
            "each expert a SwiGLU": _array_swiglu,
            "different starts": _array_starts,
            "gradients reach x": _array_gradients,
        }
    ),
    hints=(
        "How does PyTorch learn of the weights inside a list of modules?",
        "Look at sum(p.numel() for p in array.parameters()): which number do you expect?",
        "Make num_experts networks of their own, SwiGLU(d_model, expert_dim) one by one, and keep "
        "them as self.experts in an nn.ModuleList, which tells PyTorch of each.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(128, 32),),
        build=lambda answer: answer(32, 48, 4),
        run=lambda array, inputs: torch.stack([array[i](*inputs) for i in range(len(array))]),
    ),
)
