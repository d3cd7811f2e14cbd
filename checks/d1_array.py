"""The check of D1.2: the array of experts."""

import torch
from torch import Tensor, nn

from checks import expect
from checks.check import Check
from checks.compare import Comparison
from checks.routing_cases import Routing, routings
from solutions import d1_moe as reference


def _array(answer: type, case: Routing) -> nn.Module:
    array = answer(case.d_model, case.expert_dim, case.num_experts)
    expect.that(
        isinstance(array, nn.Module), f"ExpertArray must be an nn.Module, got {array!r:.60}"
    )
    return array.to(case.dtype)


def _outputs(array: nn.Module, x: Tensor) -> Tensor:
    """`(E, T, D)`: every expert's output on the same rows."""
    outs = [array[i](x) for i in range(len(array))]
    return torch.stack(
        [expect.tensor(y, f"array[{i}](x)", x.shape, x.dtype) for i, y in enumerate(outs)]
    )


def _array_shapes(answer: type, case: Routing) -> None:
    array = _array(answer, case)
    size = len(array)
    expect.that(
        size == case.num_experts, f"len(array) must be num_experts={case.num_experts}, got {size}"
    )
    _outputs(array, case.x())


def _array_registered(answer: type, case: Routing) -> None:
    held = sum(p.numel() for p in _array(answer, case).parameters())
    want = case.num_experts * 3 * case.d_model * case.expert_dim
    expect.that(
        held == want,
        "parameters() must hold num_experts × 3 × d_model × expert_dim = "
        f"{case.num_experts} × 3 × {case.d_model} × {case.expert_dim} = {want} numbers, "
        f"got {held}",
        "Is it a Python list, which PyTorch does not look into, or one expert used many times?",
    )


def _array_independent(answer: type, case: Routing) -> None:
    array, x = _array(answer, case), case.x()
    reached = []
    for y in _outputs(array, x):
        expect.that(y.requires_grad, "an expert's output must carry a gradient to its weights")
        weights = list(array.parameters())
        grads = torch.autograd.grad(y.sum(), weights, allow_unused=True, retain_graph=True)
        reached.append(
            torch.cat(
                [
                    torch.zeros(p.numel()) if g is None else g.flatten() != 0
                    for p, g in zip(weights, grads, strict=True)
                ]
            )
        )
    shared = (torch.stack(reached).sum(0) > 1).sum()
    expect.that(
        shared == 0,
        f"experts must share no weight: {int(shared)} numbers get a gradient from two experts",
        "Is one module listed several times?",
    )


def _array_swiglu(answer: type, case: Routing) -> None:
    array, x = _array(answer, case), case.x()
    for i in range(len(array)):
        up, down = array[i](x).detach(), array[i](-x).detach()
        twice = (array[i](2 * x) + array[i](-2 * x)).detach()
        ask = "Is it SwiGLU(d_model, expert_dim) from helpers.llama?"
        expect.close(twice, 4 * (up + down), f"SwiGLU's even part at 2x, in expert {i},")
        expect.that(
            float((up + down).abs().max()) > 1e-4 * float(up.abs().max()),
            f"expert {i} must be a SwiGLU, and f(x) + f(-x) is 0 as in a linear map",
            ask,
        )
        _is_given_swiglu(array[i], x, i)


def _is_given_swiglu(expert: object, x: Tensor, i: int) -> None:
    weights = [getattr(getattr(expert, name, None), "weight", None) for name in _SWIGLU]
    if all(isinstance(weight, Tensor) for weight in weights):
        gate, up, down = (weight.detach() for weight in weights)
        hidden = x @ gate.T
        want = (hidden * hidden.sigmoid() * (x @ up.T)) @ down.T
        expect.close(expert(x).detach(), want, f"expert {i}'s output")


_SWIGLU = ("gate", "up", "down")


def _array_starts(answer: type, case: Routing) -> None:
    array = _array(answer, case)
    outs = _outputs(array, case.x()).detach()
    for i in range(1, len(outs)):
        same = [j for j in range(i) if torch.allclose(outs[i], outs[j])]
        expect.that(
            not same,
            f"experts must start from different numbers: {same} and {i} give equal outputs, and "
            "gates that sum to 1 then get no gradient",
            "Was one expert copied?",
        )


check_expert_array = Check(
    id="D1.2",
    name="ExpertArray",
    minutes=10,
    reference_answer=reference.ExpertArray,
    draw=routings,
    stages={
        "length and shapes": _array_shapes,
        "every weight registered": _array_registered,
        "no weight shared": _array_independent,
        "each expert a SwiGLU": _array_swiglu,
        "different starts": _array_starts,
    },
    hints=(
        "How does PyTorch learn of the weights inside a list of modules?",
        "Look at sum(p.numel() for p in array.parameters()): which number do you expect?",
        "Make num_experts SwiGLU(d_model, expert_dim) one by one, inside an nn.ModuleList, and "
        "keep it as self.experts.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(128, 32),),
        build=lambda answer: answer(32, 48, 4),
        run=lambda array, inputs: torch.stack([array[i](*inputs) for i in range(len(array))]),
    ),
)
