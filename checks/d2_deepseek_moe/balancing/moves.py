"""What the moves of a bias tell of the slip that made them."""

from itertools import pairwise

import torch
from torch import Tensor

_NEAR = 1e-5  # moves no further apart are one: a float32 bias is no finer


def question(old: Tensor, new: Tensor, load: Tensor, step: float) -> str:
    """What to ask about a wrong new bias, by how far and which way its experts moved."""
    if not step:
        return "At a step of 0 every bias stays: what moves it?"
    old, new, missing = old.double(), new.double(), load.double().mean() - load
    moves = new - old
    return (
        _times(old, new, step * missing.sign())
        or _all_turned(moves, missing)
        or _sizes(moves, missing, step)
        or _directions(moves, missing, load)
    )


def _times(old: Tensor, new: Tensor, steps: Tensor) -> str:
    """The right steps, on the old bias times some number."""
    factor = float((new - steps) @ old / (old @ old).clamp(min=1e-300))
    if not torch.allclose(new - steps, factor * old, rtol=0.0, atol=_NEAR):
        return ""
    return f"Does the old bias come in as it is, and not {factor:.3g} times?"


def _all_turned(moves: Tensor, missing: Tensor) -> str:
    off = missing.abs() >= 1
    turned = (moves * missing.sign())[off] < -_NEAR
    return "Whom must the next batch choose more often?" if off.any() and turned.all() else ""


def _sizes(moves: Tensor, missing: Tensor, step: float) -> str:
    """Empty where each expert moves by one step, or not at all."""
    moving = moves.abs() > _NEAR
    sizes = moves.abs()[moving]
    if ((sizes - step).abs() < _NEAR).all():
        return ""
    if float(sizes.max() - sizes.min()) < _NEAR:
        times = float(sizes.mean()) / step
        return f"Every move is {times:.3g} steps: is the step taken once, and as it is handed over?"
    by_distance = sizes[missing[moving].abs().argsort()]
    if (moves * missing > -_NEAR).all() and (by_distance.diff() > -_NEAR).all():
        return "Is the step the same for all, however far an expert is from the mean?"
    return (
        "Not every move is a step: does the old bias come in as it is, and does each expert "
        "move by the same step?"
    )


def _directions(moves: Tensor, missing: Tensor, load: Tensor) -> str:
    """Of moves that are one step long, or none at all."""
    if not (moves * missing.sign() < -_NEAR).any():
        if (moves[missing == 0].abs() > _NEAR).any():
            return "What does an expert with exactly the mean load get?"
        return "Each expert off the mean moves, by the same step: which line leaves this one out?"
    border = _border(load[moves > _NEAR], load[moves.abs() <= _NEAR], load[moves < -_NEAR])
    if border:
        return (
            f"Biases move as if the mean lay {border}: what is each load compared with? The mean "
            "is the sum of all loads, those of 0 too, divided by E."
        )
    return (
        "Others move the right way: is each load compared with the mean of them all, and does "
        "each expert take its own move?"
    )


def _border(rising: Tensor, resting: Tensor, falling: Tensor) -> str:
    """Between which loads those that rise are parted from those that fall, if they are."""
    parts = [part for part in (rising, resting, falling) if part.numel()]
    if any(low.max() >= high.min() for low, high in pairwise(parts)):
        return ""
    if resting.numel():
        return f"at {int(resting[0])}" if resting.unique().numel() == 1 else ""
    if not falling.numel():
        return f"above {int(rising.max())}"
    if not rising.numel():
        return f"below {int(falling.min())}"
    return f"between {int(rising.max())} and {int(falling.min())}"
