"""What a stage may ask of a value. Each raises `Wrong` with what was expected and what came."""

import numbers
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from checks.grading.result import Wrong

BOUND = 1e-5  # the largest difference from a float64 reference, per unit of its size


def that(condition: object, message: str, ask: str = "") -> None:
    """Nothing if the condition holds, else `message` and the question `ask`."""
    if not condition:
        raise Wrong(f"{message}. {ask}".rstrip())


def shown(value: object) -> str:
    """A value in a few words, whatever it is."""
    if value is None:
        return "None"
    kind = type(value)
    if issubclass(kind, Tensor):
        return f"{_a(_plain(value.dtype))} tensor of shape {tuple(value.shape)}"
    if kind in (bool, int, float):
        return f"{value!r}" if kind is not int or abs(value) < 10**20 else "a huge int"
    if issubclass(kind, type):
        return f"the class {value.__name__}"
    size = f" of length {len(value)}" if kind in (tuple, list, dict) else ""
    return f"{_a(kind.__name__)}{size}"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in tuple('aeio') else 'a'} {noun}"


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def tensor(value: object, name: str, shape: Sequence[int], dtype: torch.dtype, ask: str = ""):
    """`value`, once it is a dense CPU tensor of that shape and type with finite numbers."""
    wanted = f"{name} must be {_a(_plain(dtype))} tensor of shape {tuple(shape)}"
    if value is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    that(isinstance(value, Tensor), f"{wanted}, got {shown(value)}", ask)
    that(value.shape == tuple(shape), f"{wanted}, got {shown(value)}", ask)
    that(value.dtype == dtype, f"{wanted}, got {shown(value)}", ask)
    that(value.device.type == "cpu", f"{name} must be on the CPU, got {value.device}")
    that(value.layout == torch.strided, f"{name} must be dense, got {value.layout}")
    that(value.isfinite().all(), f"{name} must be finite, got NaN or infinity in {shown(value)}")
    return value


def module(value: object, name: str) -> None:
    """Nothing if `value`, an object of the class `name`, is a PyTorch module."""
    ask = f"Does it begin with `class {name}(nn.Module):`?"
    that(isinstance(value, nn.Module), f"{name} must be an nn.Module, and it is not", ask)


def pair(value: object, names: tuple[str, str]) -> tuple[object, object]:
    """The two things a call returns."""
    wanted = f"the call must return two things, ({names[0]}, {names[1]})"
    if value is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    that(isinstance(value, tuple | list), f"{wanted}, got {shown(value)}")
    that(len(value) == 2, f"{wanted}, got {shown(value)}")
    return value[0], value[1]


def number(value: object, name: str) -> float:
    """`value` as a float: a real number or a tensor without dimensions, and not NaN."""
    is_scalar = isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex()
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is None:
        raise Wrong(f"{name} must be a number, got None. Did you forget a `return`?")
    that(is_scalar or is_real, f"{name} must be one number, got {shown(value)}")
    result = float(value.detach() if is_scalar else value)
    that(result == result, f"{name} must be a number, got NaN", "Is something divided by zero?")
    return result


def close(
    got: Tensor,
    want: Tensor,
    name: str,
    *,
    row: str = "token",
    column: str = "",
    when: str = "",
    slips: Mapping[str, Callable[[], Tensor]] | None = None,
    bound: float = BOUND,
) -> None:
    """Nothing if no number is off by more than `bound`; else the worst row, and the likely slip.

    `row` and `column` say what a row and a number in it belong to, `when` under what condition.
    `slips` maps a question to what gives the value of the slip it asks about.
    """
    got, want = got.detach(), want.detach()
    if near(got, want, bound):
        return
    asks = [ask for ask, slip in (slips or {}).items() if near(got, slip().detach(), bound)]
    off = (got.double() - want.double()).abs().reshape(len(want), -1)
    worst = int(off.amax(1).argmax())
    place = int(off[worst].argmax())
    wanted, came = (float(x.reshape(len(want), -1)[worst, place]) for x in (want, got))
    at = f"{row} {worst}" + (f" and {column} {place}" if column else "")
    largest = " (the largest difference)" if off.shape[1] > 1 else ""
    that(
        False,
        f"{name} of {at}{when and f', {when},'} must be {wanted:.4g}, got {came:.4g}{largest}",
        asks[0] if asks else "",
    )


def near(got: Tensor, want: Tensor, bound: float = BOUND) -> bool:
    """Whether no number is off by more than `bound`, per unit of the largest."""
    scale = max(1.0, float(want.abs().max())) if want.numel() else 1.0
    return torch.allclose(got.double(), want.double(), rtol=0.0, atol=bound * scale)


def unchanged(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Nothing if every input still holds what it held."""
    for name, value in before.items():
        that(
            torch.equal(value, after[name]),
            f"{name} must not be changed, and it was",
            "Does a line write into it in place (`+=`, `[...] =`, a name ending in `_`)?",
        )


def gradient(
    loss: Callable[[], Tensor], inputs: Mapping[str, Tensor], generator: torch.Generator
) -> None:
    """Nothing if autograd agrees with moving each input a little and watching the loss.

    `inputs` are float64 leaves that require a gradient; a detach anywhere shows as a slope that
    autograd does not know.
    """
    value = loss()
    that(
        value.requires_grad,
        "no gradient leaves your code at all",
        "Is there a `detach`, `.data`, `.item()` or `no_grad` on the way?",
    )
    grads = torch.autograd.grad(value, list(inputs.values()), allow_unused=True)
    for (name, leaf), grad in zip(inputs.items(), grads, strict=True):
        way = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        slope = _slope(loss, leaf, way)
        known = 0.0 if grad is None else float((grad * way).sum())
        that(
            abs(slope - known) <= 2e-3 * max(abs(slope), abs(known), 0.5),
            f"the gradient for {name} must be {slope:.3g} along a random direction, "
            f"got {known:.3g}",
            "Is part of the way to it detached, or rebuilt from plain numbers?",
        )


def _slope(loss: Callable[[], Tensor], leaf: Tensor, way: Tensor, step: float = 1e-3) -> float:
    with torch.no_grad():
        kept = leaf.clone()
        values = []
        for sign in (1, -1):
            leaf.copy_(kept + sign * step * way)
            values.append(float(loss()))
        leaf.copy_(kept)
    return (values[0] - values[1]) / (2 * step)
