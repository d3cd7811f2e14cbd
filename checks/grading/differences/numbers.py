"""How numbers that differ from the wanted ones differ, where no known slip explains them."""

from collections.abc import Callable

import torch
from torch import Tensor

_NEAR = 1e-6  # two numbers closer than this, per unit of the largest, are the same here


def pattern(got: Tensor, want: Tensor, axes: tuple[str, ...] = ()) -> str:
    """A sentence and a question on what all differences have in common; empty where nothing is.

    `axes` say what an index of each of the first dimensions counts.
    """
    if got.shape != want.shape or not want.numel():
        return ""
    got, want = got.double(), want.double()
    if not got.any():
        return all_zero(got)
    for look in (_factor, _offset, _digits, _function):
        found = look(got, want)
        if found:
            return found
    return (
        _other_places(got, want, axes)
        or _some_rows(got, want, axes)
        or _own_factors(got, want, axes)
    )


def _same(got: Tensor, want: Tensor) -> bool:
    return torch.allclose(got, want, rtol=0.0, atol=_NEAR * max(1.0, float(want.abs().max())))


def all_zero(got: Tensor) -> str:
    """The question about a tensor of zeros alone; empty for any other."""
    return "" if got.any() else "All of it is 0: does what is computed reach what is returned?"


def _factor(got: Tensor, want: Tensor) -> str:
    """One factor between all numbers, of which there are two or more."""
    if want.numel() < 2:
        return ""
    factor = float((got * want).sum() / (want * want).sum().clamp(min=1e-300))
    if not _same(got, factor * want):
        return ""
    if abs(factor + 1) < _NEAR:
        return "Every number has its sign turned: is something taken off the wrong way round?"
    return (
        f"Every number is {factor:.4g} times what it must be: is one factor, divisor or scale "
        "missing, or there twice?"
    )


def _offset(got: Tensor, want: Tensor) -> str:
    off = got - want
    if want.numel() < 2 or not _same(off, off.mean().expand_as(off)):
        return ""
    return (
        f"Every number is off by {float(off.mean()):.4g}: is one constant added, or one left out?"
    )


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Where a number must be below 0 it is 0, and right elsewhere: is it cut off (relu, clamp)?": (
        lambda x: x.clamp(min=0)
    ),
    "Every number is right but for its sign, which is lost: is `abs` taken?": torch.abs,
    "Every number is the square of what it must be: is it multiplied by itself?": torch.square,
    "Every number is the root of what it must be: is one root too many taken?": (
        lambda x: x.clamp(min=0).sqrt()
    ),
    "Every number is the exponential of what it must be: is an `exp` too many?": torch.exp,
    "Every number is the tanh of what it must be: where does that come in?": torch.tanh,
    "Every number is the sigmoid of what it must be: where does that come in?": torch.sigmoid,
    "Numbers beyond 1 are 1, and the others right: are they clamped?": lambda x: x.clamp(-1, 1),
    "Every number is rounded to a whole one: where?": torch.round,
    "Every number is 1 over what it must be: what divides, and what is divided?": torch.reciprocal,
}


def _function(got: Tensor, want: Tensor) -> str:
    """One simple function of the wanted numbers, as far as two of them differ."""
    if want.unique().numel() < 3:
        return ""
    found = (said for said, function in _FUNCTIONS.items() if _same(got, function(want)))
    return next(found, "")


def _own_factors(got: Tensor, want: Tensor, axes: tuple[str, ...]) -> str:
    """Every row of the last dimension is the right one, times a factor of its own."""
    if want.ndim < 2 or want.shape[-1] < 2 or _same(want, want[..., :1].expand_as(want)):
        return ""
    squares = (want * want).sum(-1, keepdim=True)
    factors = (got * want).sum(-1, keepdim=True) / squares.clamp(min=1e-300)
    if not _same(got, factors * want):
        return ""
    row = axes[min(len(axes), want.ndim - 1) - 1] if axes else "row"
    return (
        f"The numbers of each {row} are right but for a factor of its own: is a norm, a gate or a "
        "sum that divides one too many, left out, or not that of this row?"
    )


def _digits(got: Tensor, want: Tensor) -> str:
    """The first digits agree everywhere, and the later ones do not."""
    digits = agreeing_digits(float((got - want).abs().max()), float(want.abs().max()))
    if digits < 3:
        return ""
    return (
        f"It agrees to {digits} digits: is a part computed in a narrower type, rounded, or a small "
        "constant (an epsilon) added?"
    )


def agreeing_digits(off: float, size: float) -> int:
    """How many leading digits two numbers of this size share that are so far apart."""
    digits = 0
    while digits < 15 and off < size * 0.5 * 10.0**-digits:
        digits += 1
    return digits


def _other_places(got: Tensor, want: Tensor, axes: tuple[str, ...]) -> str:
    """The right numbers, elsewhere: within a row, in another row, or anywhere."""
    if want.numel() < 2 or not _same(*(x.flatten().sort().values for x in (got, want))):
        return ""
    first = axes[0] if axes else "row"
    if want.ndim > 1 and _same(*(x.sort(dim=-1).values for x in (got, want))):
        return (
            f"The numbers of each {first} are right, in another order: does each stand in its own "
            "place along the last dimension?"
        )
    if want.ndim > 1 and _same(*(_rows_sorted(x) for x in (got, want))):
        return f"The rows are right, in another order: is each {first} where it was?"
    if want.ndim == 1:
        return f"The numbers are right, in another order: is each {first} where it was?"
    return (
        "The numbers are right, in other places: does a `reshape` stand where dimensions are to "
        "be exchanged, or the other way round?"
    )


def _rows_sorted(x: Tensor) -> Tensor:
    return x.flatten(1)[x.flatten(1)[:, 0].argsort()]


def _some_rows(got: Tensor, want: Tensor, axes: tuple[str, ...]) -> str:
    """Only a few indices of a named dimension are wrong."""
    for dim, axis in enumerate(axes[: want.ndim]):
        rest = [i for i in range(want.ndim) if i != dim]
        off = (got - want).abs()
        worst = off.amax(rest) if rest else off
        wrong = (worst > 1e-5 * max(1.0, float(want.abs().max()))).tolist()
        said = _which(wrong, axis)
        if said:
            return said
    return ""


def _which(wrong: list[bool], axis: str) -> str:
    n, bad = len(wrong), [i for i, is_wrong in enumerate(wrong) if is_wrong]
    if n < 3 or not bad or len(bad) == n:
        return ""
    places: dict[str, Callable[[], bool]] = {
        f"Only the first {axis} is wrong": lambda: bad == [0],
        f"Only the last {axis} is wrong": lambda: bad == [n - 1],
        f"It is right up to {axis} {bad[0] - 1} and wrong from {axis} {bad[0]} on": lambda: (
            bad == list(range(bad[0], n))
        ),
        f"Of {n}, only {axis} {', '.join(map(str, bad))} is wrong": lambda: 2 * len(bad) < n,
    }
    if bad == list(range(1, n)):
        return _only_first(axis)
    for said, is_it in places.items():
        if is_it():
            return f"{said}: what is different there?"
    return ""


def _only_first(axis: str) -> str:
    if axis != "position":
        return f"Only the first {axis} is right: what do the others go through that it does not?"
    return (
        "Only the first position is right. Nothing is turned there, and nothing stands before it: "
        "which step needs a position's number, or what came earlier?"
    )


def how_many(got: Tensor, want: Tensor, axes: tuple[str, ...] = ()) -> str:
    """How much is right, and a question: for numbers of which `pattern` finds nothing to say."""
    if got.shape != want.shape or want.numel() < 2:
        return ""
    got, want = got.double(), want.double()
    right = (got - want).abs() <= _NEAR * max(1.0, float(want.abs().max()))
    if not right.any():
        return "No number is right: which step do all of them go through?"
    axis = axes[0] if axes else "row"
    rows = right.flatten(1).all(dim=1) if want.ndim > 1 else right
    if not rows.any():
        return f"{int(right.sum())} of {right.numel()} numbers are right: what is alike in these?"
    place = int(rows.int().argmax())
    return (
        f"{int(rows.sum())} of {len(rows)} are right, {axis} {place} among them: what do the "
        "others go through that it does not?"
    )


def pattern_of_number(got: float, want: float) -> str:
    """The same of one number; factors of which one would think only."""
    if want == 0 or got != got:
        return ""
    if got == 0:
        return "It is 0: does what is computed reach what is returned?"
    ratio = got / want
    if abs(ratio + 1) < _NEAR:
        return "Only its sign is wrong: is something taken off the wrong way round?"
    for name, factor in {"twice": 2.0, "half": 0.5, "the square of": want}.items():
        if abs(ratio - factor) < _NEAR * max(1.0, abs(factor)):
            return f"It is {name} what it must be: where does that come from?"
    if want > 0 and abs(got - want**0.5) < _NEAR:
        return "It is the root of what it must be: is one root too many taken?"
    digits = agreeing_digits(abs(got - want), abs(want))
    if digits < 3:
        return ""
    return (
        f"It agrees to {digits} digits: is a part computed in a narrower type, rounded, or a small "
        "constant (an epsilon) added?"
    )
