"""What a stage may ask of a value. Each raises `Wrong` with what was expected and what came."""

import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from checks.grading.differences.numbers import all_zero, how_many, pattern, pattern_of_number
from checks.grading.differences.shapes import why_other_shape, why_other_type
from checks.grading.result import Asked, Wrong
from checks.grading.traceback import sentence

BOUND = 1e-5  # the largest difference from a float64 reference, per unit of its size


def require(condition: object, message: str, ask: str = "") -> None:
    """Raise Wrong, with `message` and the question `ask`, unless the condition holds."""
    if not condition:
        raise Wrong(f"{message}. {ask}".rstrip())


def shown(value: Any) -> str:
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


def tensor(
    value: object,
    name: str,
    shape: Sequence[Any],
    dtype: torch.dtype,
    ask: str = "",
    axes: Sequence[str] = (),
) -> Tensor:
    """`value`, once it is a dense CPU tensor of that shape and type with finite numbers.

    `axes` say what each dimension counts, so that the question names one that is lost, left over
    or exchanged; `ask` comes after it.
    """
    wanted = f"{name} must be {_a(_plain(dtype))} tensor of shape {tuple(shape)}"
    if value is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    if not isinstance(value, Tensor):
        raise Wrong(f"{wanted}, got {shown(value)}. {_why_no_tensor(value)} {ask}".rstrip())
    if value.shape != tuple(shape):
        why = why_other_shape(tuple(value.shape), tuple(shape), tuple(axes))
        require(False, f"{wanted}, got {shown(value)}", f"{why} {ask}".strip())
    if value.dtype != dtype:
        came = f"{name} must be {_plain(dtype)}, got {_plain(value.dtype)}, in the right shape"
        # a question for the shape would send a rounded number astray
        rest = "" if value.is_floating_point() and dtype.is_floating_point else ask
        require(False, came, f"{why_other_type(value.dtype, dtype)} {rest}".strip())
    require(value.device.type == "cpu", f"{name} must be on the CPU, got {value.device}")
    require(value.layout == torch.strided, f"{name} must be dense, got {value.layout}")
    require(
        value.isfinite().all(),
        f"{name} must be finite, got NaN or infinity in {shown(value)}",
        "Is there a division by 0, a 0 times infinity, a root or logarithm of what is below 0, a "
        "softmax over nothing but -inf, an `exp` too large, or memory that `torch.empty` made and "
        "nothing wrote?",
    )
    return value


def _why_no_tensor(value: object) -> str:
    if isinstance(value, tuple | list) and any(isinstance(part, Tensor) for part in value):
        return (
            "Does it come back alone, and nothing beside it? Or are these its parts, which "
            "`torch.stack` or `torch.cat` makes one tensor?"
        )
    if isinstance(value, tuple | list):
        return "Is it taken out of its tensor, as by `.tolist()`, or something returned beside it?"
    if isinstance(value, nn.Module):
        return "Is the module itself returned, and not what it computes?"
    if isinstance(value, numbers.Number):
        return "Is a number taken out (`.item()`, `float`), where the tensor is asked for?"
    return "Which line makes it a tensor?"


@contextmanager
def asking(ask: str, said: str) -> Iterator[None]:
    """What the answer raises within is told with the question `ask`, if it matches `said`.

    That is a pattern of an error's type and message, as in "IndexError: list index out of range".
    """
    try:
        yield
    except Exception as error:
        if not re.search(said, sentence(error)):
            raise
        raise Asked(ask) from error


def refusal(call: Callable[[], object], what: str) -> None:
    """Raise Wrong unless the call raises, whatever that is; the stub's own line raises ValueError.

    `what` says which argument does not fit which size.
    """
    try:
        got = call()
    except Exception:
        return
    raise Wrong(
        f"{what} and must be refused with a ValueError, got {shown(got)}. Is the line that "
        "refuses it still there?"
    )


def module(value: object, name: str) -> None:
    """Raise Wrong unless `value`, an object of the class `name`, is a PyTorch module."""
    ask = f"Does it begin with `class {name}(nn.Module):`?"
    require(isinstance(value, nn.Module), f"{name} must be an nn.Module, and it is not", ask)


def pair(value: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    """The two things a call returns."""
    wanted = f"the call must return two things, ({names[0]}, {names[1]})"
    if value is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    ask = "Do both come back, with a comma between them?"
    require(isinstance(value, tuple | list), f"{wanted}, got {shown(value)}", ask)
    require(len(value) == 2, f"{wanted}, got {shown(value)}", "Do these two alone come back?")
    return value[0], value[1]


def number(value: Any, name: str) -> float:
    """`value` as a float: a real number or a tensor without dimensions, and not NaN."""
    is_scalar = isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex()
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is None:
        raise Wrong(f"{name} must be a number, got None. Did you forget a `return`?")
    if not (is_scalar or is_real):
        require(False, f"{name} must be one number, got {shown(value)}", _why_no_number(value))
    result = float(value.detach() if is_scalar else value)
    require(result == result, f"{name} must be a number, got NaN", "Is something divided by zero?")
    return result


def _why_no_number(value: object) -> str:
    if type(value) is str:
        return "Is it turned into text? The number itself is asked for."
    if type(value) in (tuple, list):
        return "Are several things returned, or is there a comma at the end of the line?"
    if not isinstance(value, Tensor):
        return ""
    if value.numel() == 1:
        return "Is a dimension of size 1 left over, as of `keepdim`? `.item()` takes it off."
    return f"Which sum, mean or largest one makes one number of these {value.numel()}?"


def close(
    got: Tensor,
    want: Tensor,
    name: str,
    *,
    axes: Sequence[str] = ("token",),
    when: str = "",
    slips: Mapping[str, Callable[[], Tensor]] | None = None,
    bound: float = BOUND,
) -> None:
    """Raise Wrong unless no number is off by more than `bound`: where the worst one is, and the
    likely slip.

    `axes` say what an index of each of the first dimensions counts, `when` under what condition.
    `slips` maps a question to a function that returns the value of the slip it asks about; one
    that returns `got` itself is asked where no other fits.
    """
    got, want = got.detach(), want.detach()
    if near(got, want, bound):
        return
    off = (got.double() - want.double()).abs()
    worst = torch.unravel_index(off.argmax(), off.shape)
    at = ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, worst, strict=False))
    largest = " (the largest difference)" if off.numel() > len(off) else ""
    wanted, came = apart(float(want[worst]), float(got[worst]), 4)
    require(
        False,
        f"{name} of {at}{when and f', {when},'} must be {wanted}, got {came}{largest}",
        _question(got, slips or {}, bound)
        or pattern(got, want, tuple(axes))
        or how_many(got, want, tuple(axes)),
    )


def _question(got: Tensor, slips: Mapping[str, Callable[[], Tensor]], bound: float) -> str:
    """What the slips that make these numbers ask, or else one that was given the numbers."""
    asks, default = [], ""
    for ask, slip in slips.items():
        made = slip().detach()
        if made.data_ptr() == got.data_ptr():
            default = default or ask
        elif near(got, made, bound):
            asks.append(ask)
    return joined(asks) or all_zero(got) or default


def joined(asks: Sequence[str]) -> str:
    """Questions that fit equally well, each once and at most three, as one text."""
    return " Or: ".join([*dict.fromkeys(asks)][:3])


def apart(first: float, second: float, digits: int) -> tuple[str, str]:
    """Both numbers with so many digits, or as many more as it takes to print them differently.

    Whole numbers are printed whole.
    """
    if first != second and all(abs(x) < 1e15 and x == int(x) for x in (first, second)):
        return f"{first:.0f}", f"{second:.0f}"
    for more in range(digits, 18):
        texts = f"{first:.{more}g}", f"{second:.{more}g}"
        if texts[0] != texts[1]:
            return texts
    return texts


def near(got: Tensor, want: Tensor, bound: float = BOUND) -> bool:
    """Whether no number is off by more than `bound`, per unit of the largest."""
    scale = max(1.0, float(want.abs().max())) if want.numel() else 1.0
    return torch.allclose(got.double(), want.double(), rtol=0.0, atol=bound * scale)


def number_close(
    got: float,
    want: float,
    name: str,
    slips: Mapping[str, float] | None = None,
    bound: float = BOUND,
    otherwise: str = "",
) -> None:
    """Raise Wrong unless the number is off by no more than `bound`, per unit of its size.

    `slips` maps a question to the number that the slip it asks about makes; `otherwise` is asked
    where none of them does.
    """

    def is_near(other: float) -> bool:
        return abs(got - other) <= bound * max(1.0, abs(other))

    if not is_near(want):
        asks = joined(
            [*_why_rounded(got, want), *(a for a, slip in (slips or {}).items() if is_near(slip))]
        )
        wanted, came = apart(want, got, 5)
        ask = asks or otherwise or pattern_of_number(got, want)
        require(False, f"{name} must be {wanted}, got {came}", ask)


def _why_rounded(got: float, want: float) -> list[str]:
    """The question about a number that is the right one with fewer digits."""
    if got == int(want):
        of_zero = " Or does what is computed never reach what is returned?"
        return [f"Is it cut to a whole number, by `//` or `int`?{'' if got else of_zero}"]
    for digits in range(1, 5):
        if abs(got - round(want, digits)) < 1e-7:
            plural = "s" if digits > 1 else ""
            return [f"Is it rounded to {digits} digit{plural}? The check wants five."]
    return []


@contextmanager
def untouched(tensors: Callable[[], Mapping[str, Tensor]]) -> Iterator[None]:
    """Raise Wrong unless every tensor holds afterwards what it held before.

    `tensors()` returns them by their names; it is called before and after, so that one that is
    replaced by another is seen too.
    """
    before = {name: value.detach().clone() for name, value in tensors().items()}
    yield
    after = tensors()
    for name, value in before.items():
        require(
            name in after,
            f"{name} must be there after the call as before it, and it is gone",
            "Does forward make a part anew, or put another in its place?",
        )
        require(
            torch.equal(value, after[name]),
            f"{name} must not be changed, and it was",
            "Does a line write into it in place (`+=`, `[...] =`, a name ending in `_`)?",
        )


@dataclass(frozen=True)
class Precision:
    """How far inputs are moved to see a slope, and how far from it autograd's may be.

    The difference may be `relative` times the slope, or times `least` where the slope is smaller.
    """

    step: float
    relative: float
    least: float


COARSE = Precision(step=1e-3, relative=2e-3, least=0.5)  # float32 inside an answer disturbs none
FINE = Precision(step=1e-5, relative=1e-4, least=0.01)  # several layers bend more than one


def gradient(
    loss: Callable[[], Tensor],
    inputs: Mapping[str, Tensor | Sequence[Tensor]],
    generator: torch.Generator,
    precision: Precision = COARSE,
) -> None:
    """Raise Wrong unless autograd agrees with moving each input a little and watching the loss.

    `inputs` are float64 leaves that require a gradient, or groups of them that are moved together;
    a detach anywhere shows as a slope that autograd does not know.
    """
    value = loss()
    require(
        value.requires_grad,
        "no gradient leaves your code at all",
        "Is there a `detach`, `.data`, `.item()`, `.tolist()` or `no_grad` on the way, or a tensor "
        "made anew by `torch.tensor`?",
    )
    groups = {k: [v] if isinstance(v, Tensor) else list(v) for k, v in inputs.items()}
    for name, group in groups.items():
        require(
            all(leaf.requires_grad for leaf in group),
            f"{name} must be learned, and its requires_grad is False",
            "Is it frozen where it is made (`requires_grad_(False)`, `requires_grad=False`)?",
        )
    leaves = [leaf for group in groups.values() for leaf in group]
    grads = torch.autograd.grad(value, leaves, allow_unused=True)
    known = {leaf: grad for leaf, grad in zip(leaves, grads, strict=True) if grad is not None}
    for name, group in groups.items():
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in group]
        slope = _slope(loss, group, direction, precision.step)
        moves = zip(group, direction, strict=True)
        came = float(sum((known[leaf] * move).sum() for leaf, move in moves if leaf in known))
        size = max(abs(slope), abs(came), precision.least)
        wanted, got = apart(slope, came, 3)
        require(
            abs(slope - came) <= precision.relative * size,
            f"the gradient for {name} must be {wanted} along a random direction, got {got}",
            "Is part of the way to it detached, under `no_grad`, or rebuilt from plain numbers?",
        )


def _slope(
    loss: Callable[[], Tensor], leaves: Sequence[Tensor], direction: Sequence[Tensor], step: float
) -> float:
    before, values = [leaf.detach().clone() for leaf in leaves], []
    with torch.no_grad():
        for move in (step, -step, 0.0):
            for leaf, old, ahead in zip(leaves, before, direction, strict=True):
                leaf.copy_(old + move * ahead)
            values.append(float(loss()) if move else 0.0)
    return (values[0] - values[1]) / (2 * step)
