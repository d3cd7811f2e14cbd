"""The slow form of queries before they are turned, and what slips make of it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d3_mla.cases import Latent, slow_heads, slow_latent
from checks.d3_mla.rotation import slow_turn, theta_angles
from checks.d3_mla.slips.common import order_slips

_HEAD_NORM = "The one norm is the latent's, between q_down and q_up."


def unturned(weights: dict[str, Tensor], x: Tensor, case: Latent) -> Sequence[Tensor]:
    """What the content must be, and the rotary part before it is turned."""
    x = x.double()
    if case.q_latent is not None:
        x = slow_latent(x, weights["q_down.weight"], weights["q_norm.weight"])
    return _heads(x, weights["q_up.weight"], case)


def query_slips(
    weights: dict[str, Tensor], x: Tensor, case: Latent, part: int
) -> dict[str, Callable[[], Tensor]]:
    """What slips make of the content (part 0), or of the rotary part before it is turned (1)."""
    up, x = weights["q_up.weight"], x.double()
    fed, slips = x, _plain_slips(x, up, case)
    if case.q_latent is not None:
        down, norm = weights["q_down.weight"], weights["q_norm.weight"]
        fed, slips = slow_latent(x, down, norm), _latent_slips(x, down, norm, up, case)
    widths, names = (case.d_head, case.d_rope), ("q_up", "content", "rotary part")
    slips |= order_slips(fed, case.scale * up, case.num_heads, widths, names)
    if case.scale != 1:
        slips |= _scale_slips(lambda scale: _heads(fed, scale / case.scale * up, case), case)
    chosen = {ask: lambda slip=slip: slip()[part] for ask, slip in slips.items()}
    content, rotary = _heads(fed, up, case)
    return chosen | (_content_slips(content, rotary, case) if part == 0 else {})


def _plain_slips(x: Tensor, up: Tensor, case: Latent) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """Norms where there is no latent."""
    return {
        "Is x normed? Without q_latent there is no norm.": lambda: _heads(
            F.rms_norm(x, x.shape[-1:], eps=1e-6), up, case
        ),
        f"Is each head's query normed? {_HEAD_NORM}": lambda: _normed_heads(x, up, case),
    }


def _latent_slips(
    x: Tensor, down: Tensor, norm: Tensor, up: Tensor, case: Latent
) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """Other norms, or none, on the way to the latent."""
    plain, fed = x @ down.T, slow_latent(x, down, norm)
    length, both = x.shape[1] ** 0.5, (len(norm) * x.shape[1]) ** 0.5
    latents: dict[str, Callable[[], Tensor]] = {
        "Is the latent normed before q_up?": lambda: plain,
        "Is the latent normed, and not x? The norm stands behind q_down.": lambda: (
            F.rms_norm(x, x.shape[-1:], eps=1e-6) @ down.T
        ),
        "Is the latent normed once?": lambda: slow_latent(
            fed, torch.eye(len(norm), dtype=fed.dtype), norm
        ),
        "Is q_norm an RMSNorm? A LayerNorm takes the mean off.": lambda: F.layer_norm(
            plain, norm.shape, norm, eps=1e-6
        ),
        "Does the norm run over the numbers of each latent, and not over positions?": lambda: (
            F.normalize(plain, dim=1) * length * norm
        ),
        "Has each latent its own root mean square, and not one for all positions?": lambda: (
            F.normalize(plain.flatten(1), dim=1).view_as(plain) * both * norm
        ),
        "Is the latent divided by its length? RMSNorm divides by the root of the mean square.": (
            lambda: F.normalize(plain, dim=-1) * norm
        ),
        "Is there an activation between q_down and q_up? There is the norm alone.": lambda: F.silu(
            fed
        ),
        "Is the norm the layer's own self.q_norm, with its weight?": lambda: slow_latent(
            x, down, torch.ones_like(norm)
        ),
    }
    return {ask: lambda made=made: _heads(made(), up, case) for ask, made in latents.items()} | {
        f"Is each head's query normed? {_HEAD_NORM}": lambda: _normed_heads(plain, up, case),
        f"Is each head's query normed as well? {_HEAD_NORM}": lambda: _normed_heads(fed, up, case),
    }


def _normed_heads(fed: Tensor, up: Tensor, case: Latent) -> tuple[Tensor, ...]:
    heads = torch.cat(_heads(fed, up, case), dim=-1)
    return F.rms_norm(heads, heads.shape[-1:], eps=1e-6).split((case.d_head, case.d_rope), dim=-1)


def _heads(x: Tensor, up: Tensor, case: Latent) -> tuple[Tensor, ...]:
    return slow_heads(x, case.scale * up, case.num_heads, (case.d_head, case.d_rope))


def _scale_slips(scaled: Callable, case: Latent) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """`scaled(by)` makes both parts, multiplied by another number than the case's scale."""
    where = "without q_latent too" if case.q_latent is None else "behind the norm, which undoes it"
    return {
        f"Are both parts multiplied by scale, {where}?": lambda: scaled(1.0),
        "Are both parts multiplied by scale, and once?": lambda: scaled(case.scale**2),
        "Are they multiplied by scale, and not divided?": lambda: scaled(1 / case.scale),
    }


def _content_slips(content: Tensor, rotary: Tensor, case: Latent) -> dict[str, Callable]:
    whole, width = torch.cat((content, rotary), dim=-1), case.d_head + case.d_rope
    return {
        "Is the rotary part alone turned, once the two are split?": lambda: slow_turn(
            whole, 0, theta_angles(width, case.theta)
        )[..., : case.d_head],
        "Is the content left as it is, and not turned?": lambda: slow_turn(
            content, 0, theta_angles(case.d_head, case.theta)
        ),
        "Is the content scaled? attend scales the scores.": lambda: content / width**0.5,
    }
