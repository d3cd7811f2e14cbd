"""What slips make of a rotation, and how far it may be off at a far position."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from checks.d3_mla.cases import Latent
from checks.d3_mla.rotation import Angles, slow_rotation, slow_turn, theta_angles
from checks.grading import expect

FAR = 5000  # a position behind any table of rotations of a fixed, small size


def far_bound(case: Latent) -> float:
    """How far a part turned by a far position may be off: angles may be kept in float32."""
    return 1e-3 if case.dtype == torch.float32 else expect.BOUND


def asking_far(at: int = 0) -> AbstractContextManager[None]:
    """What is raised at a far position, where a near one went through, is asked about."""
    ask = f"That is with start={at}: is a table made for a fixed number of positions?"
    return expect.asking(ask, "") if at >= FAR else nullcontext()


def far_slip(got: Tensor, at: int) -> dict[str, Callable[[], Tensor]]:
    """The question to a part that is turned wrongly at a far position alone."""
    ask = "Is a table made for a fixed number of positions, or an angle rounded?"
    return {ask: lambda: got} if at >= FAR else {}


def _in_radians(x: Tensor, start: int, angles: Angles) -> Tensor:
    """Every row turned by its place in x, and by `start` radians more."""
    rows = [slow_rotation(x[:, i], i, angles) for i in range(x.shape[1])]
    return torch.stack([slow_rotation(row, 1, [start] * len(angles)) for row in rows], dim=1)


def rotation_slips(x: Tensor, start: int, case: Latent) -> dict[str, Callable[[], Tensor]]:
    """What slips make of `slow_turn(x, start, case.turns)`, by the question each calls for."""
    length, width, angles = x.shape[1], x.shape[-1], case.turns
    apart = torch.arange(width).unflatten(0, (-1, 2)).T.flatten()  # 0, 2, 4, … 1, 3, 5, …
    paired = apart.argsort()  # 0, r/2, 1, r/2 + 1, …

    def turned(x: Tensor, positions: Sequence[int], angles: Angles = angles) -> Tensor:
        rows = [slow_rotation(x[:, i], at, angles) for i, at in enumerate(positions)]
        return torch.stack(rows, dim=1)

    right = range(start, start + length)
    by_theta: dict[str, Callable[[], Tensor]] = {
        "Is the angle of pair i position · theta^(-2i / d_rope), with d_rope alone below and not "
        "the width of a whole head?": lambda: turned(
            x, right, theta_angles(case.d_head + width, case.theta)[: len(angles)]
        ),
    }
    own = {
        "Do the constructor's angles reach the turn, where it has some?": lambda: turned(
            x, right, theta_angles(width, case.theta)
        )
    }
    first = {
        "Is every row turned by its own angle, and not the first's?": lambda: turned(
            x, [start] * length
        )
    }
    slips = (by_theta if case.angles is None else own) | (first if start else {})
    return slips | {
        "Is it turned by start + position?": lambda: turned(x, range(length)),
        "Is it turned at all? Or do all positions get the turn of position 0, as where they "
        "are not in dimension 1 of what `rotate` gets?": lambda: x,
        "Is start where x begins, and not where it ends?": lambda: turned(
            x, range(start + length, start + 2 * length)
        ),
        "Are the positions counted from the first row on, and not back from the last?": lambda: (
            turned(x, range(start + length - 1, start - 1, -1))
        ),
        "Is start counted in positions, and not added to the angle in radians?": lambda: (
            _in_radians(x, start, angles)
        ),
        "Is the first row's position start, and not one more?": lambda: turned(
            x, range(start + 1, start + 1 + length)
        ),
        "Are the pairs neighbours (0, 1), (2, 3), and not halves?": lambda: turned(
            x[..., paired], right
        )[..., apart],
        "Do the two numbers of a pair stay side by side?": lambda: turned(x, right)[..., apart],
        "Is it turned the other way? (a, b) becomes (a cos - b sin, a sin + b cos).": lambda: (
            turned(x, [-at for at in right])
        ),
        "Does theta come from the constructor?": lambda: turned(x, right, theta_angles(width)),
        "Do the positions run along L, and not along the batch?": lambda: slow_turn(
            x.transpose(0, 1), start, angles
        ).transpose(0, 1),
        "Do the positions run along L, and not along the dimension after it?": lambda: (
            slow_turn(x.transpose(1, 2), start, angles).transpose(1, 2)
            if x.ndim == 4
            else turned(x, right)
        ),
        "Do the positions begin anew in each sequence?": lambda: slow_turn(
            x.flatten(0, 1)[None], start, angles
        ).view_as(x),
        "Is it turned once?": lambda: turned(turned(x, right), right),
        "Is the angle of pair i position · theta^(-2i / d_rope)?": lambda: turned(
            x, right, [angle**0.5 for angle in angles]
        ),
        "Has each pair its own angle, and not pair 0's?": lambda: turned(
            x, right, [angles[0]] * len(angles)
        ),
    }
