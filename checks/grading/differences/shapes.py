"""What is amiss with a shape or a type, as a question that names the dimension."""

from itertools import permutations

import torch

Shape = tuple[int, ...]


def why_other_shape(got: Shape, want: Shape, axes: tuple[str, ...] = ()) -> str:
    """A question on how `got` came about; empty where nothing usual explains it.

    `axes` say what each dimension of `want` counts.
    """
    axes = axes if len(axes) == len(want) else tuple(f"size {size}" for size in want)
    return (
        _lost(got, want, axes)
        or _left_over(got, want)
        or _exchanged(got, want, axes)
        or _merged(got, want, axes)
        or _other_size(got, want, axes)
    )


def _lost(got: Shape, want: Shape, axes: tuple[str, ...]) -> str:
    if len(got) == len(want):
        ones = [i for i, size in enumerate(got) if size == 1 and want[i] != 1]
        if len(ones) == 1 and got == (*want[: ones[0]], 1, *want[ones[0] + 1 :]):
            i = ones[0]
            return (
                f"Dimension {i} ({axes[i]}) has only 1 entry of {want[i]}: is it summed or "
                "averaged over, or one entry taken?"
            )
        return ""
    lost = [i for i in range(len(want)) if got == want[:i] + want[i + 1 :]]
    if not lost:
        return ""
    which = " or ".join(f"{i} ({axes[i]})" for i in lost)
    return (
        f"Dimension {which} is missing: is it summed or averaged over, indexed, or squeezed away?"
    )


def _left_over(got: Shape, want: Shape) -> str:
    for i in range(len(got)):
        if got[:i] + got[i + 1 :] == want:
            if got[i] == 1:
                how = "an `unsqueeze` or `keepdim` without a `squeeze`, or a `stack` without a sum"
            else:
                how = "a sum or a choice that is still to come, or a broadcast"
            return f"Dimension {i}, of size {got[i]}, is one too many: is it left over from {how}?"
    return ""


def _exchanged(got: Shape, want: Shape, axes: tuple[str, ...]) -> str:
    if len(got) != len(want) or sorted(got) != sorted(want):
        return ""
    for order in permutations(range(len(want))):
        moved = [i for i, j in enumerate(order) if i != j]
        if len(moved) == 2 and tuple(want[i] for i in order) == got:
            a, b = moved
            return (
                f"Dimensions {a} ({axes[a]}) and {b} ({axes[b]}) are exchanged: is a `transpose` "
                "missing or one too many, or are two sizes of a `reshape`, `view` or `unflatten` "
                "in each other's place?"
            )
    return "The dimensions are there in another order: which `transpose` or `permute` is wrong?"


def _merged(got: Shape, want: Shape, axes: tuple[str, ...]) -> str:
    """Two neighbours laid together, or one taken apart."""
    for i in range(len(want) - 1):
        if got == (*want[:i], want[i] * want[i + 1], *want[i + 2 :]):
            return (
                f"Dimensions {i} ({axes[i]}) and {i + 1} ({axes[i + 1]}) are laid together: where "
                "are they taken apart again?"
            )
    for i in range(len(got) - 1):
        if want == (*got[:i], got[i] * got[i + 1], *got[i + 2 :]):
            return (
                f"Dimension {i} ({axes[i]}) is still taken apart into {got[i]} × {got[i + 1]}: "
                "where are the two laid together again?"
            )
    return ""


def _other_size(got: Shape, want: Shape, axes: tuple[str, ...]) -> str:
    """One dimension of another size, where its name helps to find it."""
    off = [i for i in range(len(want)) if i < len(got) and got[i] != want[i]]
    if len(got) != len(want) or len(off) != 1 or axes[off[0]].startswith("size "):
        return ""
    i = off[0]
    return f"Dimension {i} must count {axes[i]}, {want[i]}, and has {got[i]}: what sets that size?"


def why_other_type(got: torch.dtype, want: torch.dtype) -> str:
    """A question on where a type came from."""
    if want.is_floating_point and got == torch.bool:
        return "Is that a mask? It came as bool."
    if want.is_floating_point and not got.is_floating_point:
        return (
            f"Are these indices or counts, or is it cut to whole numbers? It came as {_plain(got)}."
        )
    if got.is_floating_point and not want.is_floating_point:
        return (
            f"It came as {_plain(got)}: did a division, a mean, a cast or a `torch.zeros` without "
            "dtype make whole numbers floating-point ones?"
        )
    if got.is_floating_point:
        return (
            f"It came as {_plain(got)}: is that type fixed somewhere (`.float()`, `dtype=`, a "
            "`torch.zeros` without dtype), or not turned back at the end?"
        )
    return f"It came as {_plain(got)}: is that type fixed somewhere?"


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
