"""How tensors, gradients and inputs differ from the wanted ones, as sets of faults."""

import inspect

import torch
from torch import Tensor

TOLERANCES = {
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 0.1, "atol": 0.2},
}


def x_(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tensor_faults(mine, wanted, name="value"):
    """How a tensor differs from the wanted one: kind, shape, dtype or value."""
    if not isinstance(mine, Tensor):
        return {f"{name} is no tensor"}
    if mine.shape != wanted.shape or mine.dtype != wanted.dtype:
        return {f"shape or dtype of {name}"}
    return (
        set()
        if torch.allclose(mine, wanted, **TOLERANCES.get(mine.dtype, {"rtol": 1e-9}))
        else {name}
    )


def gradient_faults(mine, wanted, leaves):
    """Whether a random sum of `mine` has other gradients than that of `wanted`."""
    weight = torch.randn(wanted.shape).to(wanted)
    pairs = zip(gradients(mine * weight, leaves), gradients(wanted * weight, leaves), strict=True)
    return set().union(*(tensor_faults(a, b, "gradient") for a, b in pairs))


def gradients(y, leaves):
    if not y.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(y.sum(), leaves, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(b) if a is None else a for a, b in zip(found, leaves, strict=True)]


def unchanged(tensors, before):
    same = all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))
    return set() if same else {"input changed"}


def made_faults(make, call):
    """Whether a new module comes in another type than float32; a seed that is set shows anyway."""
    module = make()
    numbers = [w for w in module.state_dict().values() if w.is_floating_point()]
    if any(w.dtype != torch.float32 for w in numbers):
        return {"type of a new module"}
    call(module)
    return set()


def taken(answer, options):
    """Those of the options that the answer's parameters name, or all where it takes any."""
    parameters = inspect.signature(answer).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return options
    names = {p.name for p in parameters}
    return {name: value for name, value in options.items() if name in names}


def type_faults(module):
    """Whether a module that was just made has weights of another type than torch's default."""
    types = {weight.dtype for weight in module.parameters()}
    return set() if types <= {torch.get_default_dtype()} else {"type of the weights"}


def raises_value_error(function, *inputs):
    try:
        function(*inputs)
    except ValueError:
        return True
    return False
