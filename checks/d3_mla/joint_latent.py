"""The check of D3.3b: one normed latent from which keys and values of all heads come."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import (
    HEADS,
    POSITIONS,
    SMALL,
    Latent,
    given_weights,
    in_bfloat16,
    in_single,
    latents,
    randomise,
    slow_heads,
    slow_latent,
)
from checks.d3_mla.slips.common import built, in_each_mode, order_slips
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from checks.grading.strided import strided
from solutions import d3_mla as reference


def _joint(answer: type, case: Latent) -> tuple[Built, dict[str, Tensor]]:
    """The answer with random weights, and those weights in float64."""
    sizes = case.d_model, case.num_heads, case.d_head, case.d_value, case.d_latent
    layer = built(answer, "JointLatent", *sizes)
    randomise(layer.to(case.dtype), case.generator()).train(case.training)
    shapes = {
        "kv_down.weight": (case.d_latent, case.d_model),
        "kv_norm.weight": (case.d_latent,),
        "kv_up.weight": (case.num_heads * (case.d_head + case.d_value), case.d_latent),
    }
    return layer, given_weights(layer, "JointLatent", shapes)


def _latent(case: Latent) -> Tensor:
    """`(B, S, R)`: a latent of more positions than x has, as from a cache."""
    latent = case.draw(case.batch, case.length + 3, case.d_latent, offset=4)
    return latent if case.contiguous else strided(latent)


_CUT = (
    "Is the last dimension cut into heads first, (num_heads, d_head + d_value), and then each "
    "head split along it?"
)


def _down(layer: Built, x: Tensor, case: Latent) -> Tensor:
    shape = *x.shape[:2], case.d_latent
    return expect.tensor(
        layer.down(x.clone()),
        "down(x)",
        shape,
        x.dtype,
        "It is one latent per token.",
        (*TOKENS[:2], "d_latent"),
    )


def _up(layer: Built, latent: Tensor, case: Latent) -> tuple[Tensor, Tensor]:
    """Keys and values, once both have the right kind."""
    with expect.asking(_CUT, "split_sizes"):
        got = layer.up(latent.clone())
    parts = expect.pair(got, ("keys", "values"))
    ask = "Keys are (B, S, H, d_head), values (B, S, H, d_value), with S as many as latents came."
    widths = {"the keys": case.d_head, "the values": case.d_value}
    for part, (name, width) in zip(parts, widths.items(), strict=True):
        shape = *latent.shape[:2], case.num_heads, width
        asks = f"{_why_other_width(part, width, case)} {ask}".strip()
        axes = *TOKENS[:2], "heads", "numbers of a head"
        expect.tensor(part, name, shape, latent.dtype, asks, axes)
    return parts


def _why_other_width(part: object, width: int, case: Latent) -> str:
    """The question to keys or values of another width."""
    came = part.shape[-1] if isinstance(part, Tensor) and part.ndim == 4 else width
    if came == width:
        return ""
    if came in (case.d_head, case.d_value):
        other = "d_head" if came == case.d_head else "d_value"
        return f"{came} is {other}: do the keys come first, and then the values?"
    if came == (case.d_head + case.d_value + 1) // 2:
        return "That is half of a head's rows: is each head cut behind its first d_head numbers?"
    return ""


def _joint_shapes(answer: type, case: Latent) -> None:
    """Of zeros too, which a norm must not divide by."""
    layer, _ = _joint(answer, case)
    for x, latent in ((case.x(), _latent(case)), (0 * case.x(), 0 * _latent(case))):
        _down(layer, x, case)
        _up(layer, latent, case)


def _joint_sizes(answer: type, case: Latent) -> None:
    layer, _ = _joint(answer, case)
    for name in ("num_heads", "d_head", "d_value"):
        got, want = getattr(layer, name, None), getattr(case, name)
        came = "" if got is None else f", got {expect.shown(got)}"
        expect.require(
            got == want,
            f"the layer must keep its constructor's {name}, {want} here, as self.{name}{came}",
            "Is it kept under that name? D3.4 cuts kv_up by these three.",
        )


_LAYER_NORM = "Is kv_norm an RMSNorm? A LayerNorm takes the mean off."


def _joint_down(answer: type, case: Latent) -> None:
    layer, weights = _joint(answer, case)
    x, (down, norm) = case.x(), (weights["kv_down.weight"], weights["kv_norm.weight"])
    want = slow_latent(x.double(), down, norm)
    plain = x.double() @ down.T
    slips = {
        "Is the latent normed before it is cached?": lambda: plain,
        "Is the norm the layer's own self.kv_norm, with its weight?": lambda: slow_latent(
            x.double(), down, torch.ones_like(norm)
        ),
        "Is the latent normed once?": lambda: slow_latent(
            want, torch.eye(len(norm), dtype=want.dtype), norm
        ),
        "Does the norm run over the d_latent numbers of each token alone?": lambda: (
            plain / (plain**2).mean().sqrt() * norm
        ),
        "Has each token its own root mean square, and not one for all positions?": lambda: (
            plain / (plain**2).mean((1, 2), keepdim=True).sqrt() * norm
        ),
        "Is the normed latent added to the plain one? It takes its place.": lambda: want + plain,
        "Is 1 added to the weight of the norm? It multiplies as it is.": lambda: slow_latent(
            x.double(), down, norm + 1
        ),
        "Does the norm run over the numbers of each latent, and not over positions?": lambda: (
            F.normalize(plain, dim=1) * plain.shape[1] ** 0.5 * norm
        ),
        "Is there an activation behind the norm? The latent is cached as the norm leaves it.": (
            lambda: F.silu(want)
        ),
        "Is x normed, and not the latent?": lambda: (
            F.rms_norm(x.double(), x.shape[-1:], eps=1e-6) @ down.T
        ),
        "Is the latent divided by its length? RMSNorm divides by the root of the mean square.": (
            lambda: F.normalize(plain, dim=-1) * norm
        ),
        "Is the normed latent scaled? It is cached as it is.": lambda: want / len(norm) ** 0.5,
        "Is the latent softmaxed, where a norm is asked for?": lambda: plain.softmax(-1),
        _LAYER_NORM: lambda: F.layer_norm(plain, norm.shape, norm),
        f"{_LAYER_NORM} RMSNorm only divides.": lambda: F.layer_norm(
            plain, norm.shape, norm, eps=1e-6
        ),
    }

    def look() -> None:
        got = _down(layer, x, case)
        expect.close(got, want, "the latent", axes=POSITIONS, slips=slips)
        in_single(got, want, "the latent")

    in_each_mode(layer, look)


def _joint_up(answer: type, case: Latent) -> None:
    """Of latents that came from elsewhere and have no norm of 1."""
    layer, weights = _joint(answer, case)
    latent = _latent(case)
    widths = case.d_head, case.d_value
    wants = slow_heads(latent.double(), weights["kv_up.weight"], case.num_heads, widths)

    def look() -> None:
        parts = _up(layer, latent, case)
        for i, name in enumerate(("the key", "the value")):
            slips = _up_slips(weights, latent.double(), case, i)
            expect.close(parts[i], wants[i], name, axes=HEADS, slips=slips)
            in_single(parts[i], wants[i], name)

    in_each_mode(layer, look)


def _up_slips(
    weights: dict[str, Tensor], latent: Tensor, case: Latent, part: int
) -> dict[str, Callable]:
    """What slips make of the keys (part 0) or the values (part 1)."""
    up, heads, widths = weights["kv_up.weight"], case.num_heads, (case.d_head, case.d_value)
    same = torch.eye(case.d_latent, dtype=latent.dtype)
    again = slow_latent(latent, same, weights["kv_norm.weight"])
    slips = order_slips(latent, up, heads, widths, ("kv_up", "key", "value"))
    if part == 1:  # the keys are right
        slips.pop("Are the rows of kv_up per head, key then value?")
        slips["Does the value begin where the key ends, and not at the head's first row?"] = (
            lambda: slow_heads(latent, up, heads, widths[::-1])[::-1]
        )
    slips["Is the latent normed once, in down, and not in up?"] = lambda: slow_heads(
        again, up, heads, widths
    )
    return {ask: lambda slip=slip: slip()[part] for ask, slip in slips.items()}


def _joint_use(answer: type, case: Latent) -> Used:
    layer, x, latent = _joint(answer, case)[0], case.x(), _latent(case)

    def both() -> None:
        layer.down(x)
        layer.up(latent)

    return both, lambda: {"x": x, "the latent": latent, **state(layer)}


def _joint_gradients(answer: type, case: Latent) -> None:
    """Down from x, and up from a latent."""
    layer = _joint(answer, case)[0].double()
    named = dict(layer.named_parameters())
    x = case.x()[:2, :3].double().requires_grad_()
    latent = _latent(case)[:2, :3].double().requires_grad_()
    direction = SMALL * case.draw(*x.shape[:2], case.d_latent, offset=5).double()
    directions = [
        SMALL * case.draw(*part.shape, offset=6).double() for part in _up(layer, latent, case)
    ]

    def loss_up() -> Tensor:
        return sum(
            (part * direction).sum()
            for part, direction in zip(layer.up(latent), directions, strict=True)
        )

    downs = {name: named[name] for name in ("kv_down.weight", "kv_norm.weight")}
    expect.gradient(lambda: (layer.down(x) * direction).sum(), {"x": x, **downs}, case.generator())
    ups = {"the latent": latent, "kv_up.weight": named["kv_up.weight"]}
    expect.gradient(loss_up, ups, case.generator())


check_joint_latent = Check(
    id="D3.3b",
    name="JointLatent",
    reference_answer=reference.JointLatent,
    draw=latents,
    stages={
        "shapes and types": _joint_shapes,
        "x, latent and weights untouched": untouched(_joint_use),
        "sizes kept by name": _joint_sizes,
        "down: the normed latent within 1e-5": _joint_down,
        "up: keys and values of every head within 1e-5": _joint_up,
        "bfloat16 goes in and comes out": in_bfloat16(_joint_shapes),
        "gradients reach x, latent and every weight": _joint_gradients,
    },
    hints=(
        "The cache keeps what down returns, and up reads it many times. On which side of the cache "
        "does a norm cost less?",
        "Look at self.kv_up(latent): (B, S, H·(d + v)). Which d + v of them belong to head 0, and "
        "which of those are its key?",
        "Make kv_down from d_model to d_latent, kv_norm of width d_latent, kv_up from d_latent to "
        "num_heads · (d_head + d_value). down: self.kv_norm of self.kv_down(x). up: unflatten "
        "self.kv_up(latent) to (B, S, H, d + v), split the last dimension into d_head and d_value.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(64, 8, 16, 12, 32),
        run=lambda layer, inputs: torch.cat(layer.up(layer.down(*inputs)), dim=-1),
    ),
)
