"""Why keys or values that come back in D3.O1 are unlike the true ones, as far as numbers tell."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.grading import expect

ALIKE = 0.95  # the mean cosine of restored keys, and of values, on new text
PARTS = "keys", "values"


def cosine(got: Tensor, want: Tensor) -> float:
    """The mean cosine of the rows."""
    return float(F.cosine_similarity(got, want).mean())


def why_unlike(got: Sequence[Tensor], want: Sequence[Tensor], name: str) -> str:
    """A question on the part `name` of `got`, keys and values `(N, W)`, in place of `want`."""
    mine, true = ([part.detach().double() for part in pair] for pair in (got, want))
    i = PARTS.index(name)
    return (
        _another(mine[i], true[1 - i], name)
        or _constant(mine[i], true[i], name)
        or _readable(torch.cat(mine, 1), true[i])
        or _too_few(torch.cat(mine, 1), torch.cat(true, 1), i)
        or "Are the directions the strongest of these keys and values (eigh begins with the "
        "weakest)? Do keep and expand use the same ones? Are the steps fine enough?"
    )


def _another(mine: Tensor, other: Tensor, name: str) -> str:
    if cosine(mine, other) < ALIKE:
        return ""
    other_name = PARTS[1 - PARTS.index(name)]
    return f"They are like the true {other_name}: do keys and values come back in this order?"


def _constant(mine: Tensor, true: Tensor, name: str) -> str:
    """One row for all tokens, or one that is missing from all."""
    if expect.near(mine, mine[:1].expand_as(mine)):
        return (
            f"All tokens get the same {name}: does anything of x reach what is kept, and are the "
            "bounds in order where it is clamped?"
        )
    if cosine(mine + (true - mine).mean(0), true) < ALIKE:
        return ""
    return (
        "With one constant more they would be alike: is a mean that keep takes off put back by "
        "expand?"
    )


def _readable(mine: Tensor, true: Tensor) -> str:
    """What comes back holds the truth, otherwise mixed."""
    held = cosine(mine @ torch.linalg.lstsq(mine, true, driver="gelsd").solution, true)
    if held < ALIKE:
        return ""
    return (
        f"Enough is kept: mixed otherwise, what comes back would reach {held:.3f}. Do keep and "
        "expand use the same directions, in the same order? Is each number multiplied by what it "
        "was divided by, its sign too?"
    )


def _too_few(mine: Tensor, true: Tensor, i: int) -> str:
    """Both are `(N, 2W)`, keys and values side by side."""
    count = int(torch.linalg.matrix_rank(mine, rtol=1e-4))
    best = torch.linalg.svd(true).Vh[:count].T  # (2W, count)
    reached = cosine((true @ best @ best.T).chunk(2, 1)[i], true.chunk(2, 1)[i])
    if reached >= ALIKE:
        return ""
    best_one = "1 direction, and the best one"
    along = best_one if count == 1 else f"{count} directions, and the best {count}"
    return (
        f"All that comes back lies along {along} would not be enough. Are more directions needed, "
        "or are some of them rounded to 0?"
    )
