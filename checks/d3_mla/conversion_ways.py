"""Which half of the way through a latent is wrong in D3.3f: what down reads, or where up leads."""

import torch
from torch import Tensor

from checks.d3_mla.conversion_cases import lost, main_directions
from checks.grading import expect

_BACK = (
    "Are the directions those of the keys or values, y = activations @ W.T? Is down the weights "
    "along them, and up the way back along the same?"
)
_BACK_BOTH = (
    "Are the directions those of keys and values side by side, 2W numbers for a token? Is down the "
    "weights of both along them, and up the way back along the same?"
)
_SIDE = " A row is a token's key and value side by side, 2W numbers."
_SIZED = (
    "Up leads back along the best directions, and what it gets along them has other sizes. Is down "
    "basis.T @ W alone, without singular values or square roots of them?"
)
_DOWN = (
    "Up leads back along the best directions, and down does not read those. Is down basis.T @ W, "
    "with the columns of basis in the same order as up has them?"
)
_OTHERS = (
    "down reads something of x that the {} do not hold. Is down basis.T @ W, and are all four "
    "weights copied into what is returned?"
)
_ORDER = (
    "down and up use the same directions, one in another's place or turned round: do the rows of "
    "down and the columns of up stand in one order?"
)
_ANGLES = (
    "down and up use the same columns, and these are not at right angles and of length 1. Are they "
    "directions of the W numbers of a key, as eigh of y.T @ y gives them, and not of the tokens?"
)
_ANOTHER = (
    "down reads along directions at right angles, and up leads back along others: is one basis "
    "made and used for both?"
)
_UP = (
    "down reads along directions at right angles, and up does not lead back along those. Is up "
    "basis itself?"
)
_CHOICE = (
    "down and up fit each other, along directions that are not the strongest of {name}. Are they "
    "the last columns of the eigenvectors, and of y.T @ y with all rows y as they come?"
)


def why_not_whole(latents: Tensor, came: Tensor, outputs: Tensor, part: str) -> str:
    """The question to `came`, where W directions restore `outputs`, the keys or values `(N, W)`."""
    if len(outputs) < outputs.shape[1]:
        return _BACK  # too few rows to tell what is read
    if _is_sized(torch.linalg.lstsq(outputs, came).solution, outputs):
        return _SIZED
    down = torch.linalg.lstsq(outputs, latents).solution  # what is read of y
    if not expect.near(outputs @ down, latents, 1e-3):
        return _OTHERS.format(part)
    up = torch.linalg.lstsq(latents, came, driver="gelsd").solution.T
    found = {
        _ORDER: _is_order(down.T @ up),
        _ANGLES: expect.near(down, up, 1e-3),
        _ANOTHER: _at_right_angles(down) and _at_right_angles(up),
        _UP: _at_right_angles(down),
        _DOWN: _at_right_angles(up),
    }
    return next((ask for ask, is_it in found.items() if is_it), _BACK)


def _at_right_angles(columns: Tensor) -> bool:
    """And all of length 1."""
    return expect.near(columns.T @ columns, torch.eye(columns.shape[1]).double(), 1e-3)


def _is_order(met: Tensor) -> bool:
    """Whether each column of one basis is one column of the other, or its opposite."""
    sizes = met.abs()
    return expect.near(sizes, sizes.round(), 1e-3) and all(
        expect.near(sizes.sum(dim), torch.ones(len(met)).double(), 1e-3) for dim in (0, 1)
    )


def _is_sized(mixed: Tensor, outputs: Tensor) -> bool:
    """Whether outputs @ mixed only stretches the outputs along their own directions."""
    own = main_directions(outputs)
    stretched = own.T @ mixed @ own
    crossed = stretched - stretched.diagonal().diag()
    return float(crossed.abs().max()) < 1e-3 * float(stretched.abs().max())


def which_half(came: Tensor, outputs: Tensor, rank: int, least: float, name: str) -> str:
    """Which half of the way is wrong: the directions that `came` lies along, or what comes to them.

    `came` and `outputs` are `(N, W)`.
    """
    basis = torch.linalg.svd(came, full_matrices=False).Vh[:rank].T  # (W, rank)
    kept = outputs @ basis  # what the best latent along these directions holds
    if lost(outputs, basis) <= least * (1 + 1e-2) + 1e-4:
        mixed = torch.linalg.lstsq(kept, came @ basis).solution
        return _SIZED if _is_sized(mixed, kept) else _DOWN
    fits = expect.near(came, kept @ basis.T, 1e-3)
    whole = name not in ("the keys", "the values")
    if fits:
        return _CHOICE.format(name=name) + (_SIDE if whole else "")
    return _BACK_BOTH if whole else _BACK
