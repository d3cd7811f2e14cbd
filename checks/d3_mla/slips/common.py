"""Slips that several parts of the lesson share, as their modules are made and as they are used."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.d3_mla.cases import slow_heads
from checks.grading import expect
from checks.grading.modules import new_module
from checks.grading.result import Built, Wrong


def built(answer: Callable, name: str, *sizes: object, **options: object) -> Built:
    """The new module; a size of its maps that is no whole number is asked about."""
    ask = "Is a size of nn.Linear made with `/`, which gives a float?"
    with expect.asking(ask, r"empty\(\).* float"):
        return new_module(answer, name, *sizes, **options)


def nearest(got: Tensor, made: Iterable[Tensor]) -> Tensor:
    """The one that `got` is nearest to, where one question asks about several."""
    return min(made, key=lambda other: float((got.detach().double() - other).abs().max()))


def activated(x: Tensor) -> list[Tensor]:
    """x behind each of the usual activations."""
    return [f(x) for f in (F.silu, F.relu, F.gelu, torch.tanh, torch.sigmoid)]


def normed(x: Tensor) -> list[Tensor]:
    """x behind each of the usual norms, without a weight."""
    width = x.shape[-1:]
    norms = F.rms_norm(x, width, eps=1e-6), F.layer_norm(x, width), F.normalize(x, dim=-1)
    return list(norms)


def dropped(got: Tensor, want: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The question about a dropout, where some numbers are 0 and the others all too large alike."""
    got = got.detach().double()
    kept = (got != 0).double()
    factor = float((got * want).sum() / (want * want * kept).sum().clamp(min=1e-300))
    if kept.all() or factor < 1.01:
        return {}
    ask = f"Some numbers are 0, and the others {factor:.3g} times what they must be: is there a "
    return {ask + "dropout? The lesson has none.": lambda: want * kept * factor}


def order_slips(
    x: Tensor, up: Tensor, num_heads: int, widths: Sequence[int], names: tuple[str, str, str]
) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """What other orders of the rows of `up` make of `slow_heads`, by the question each calls for.

    `names` are those of the weight and of its two parts.
    """
    weight, first, second = names
    flat = x @ up.T

    def of_head_0() -> tuple[Tensor, ...]:
        parts = slow_heads(x, up, num_heads, widths)
        return tuple(part[:, :, :1].expand_as(part) for part in parts)

    def blocks() -> list[Tensor]:
        both = flat.split([num_heads * width for width in widths], dim=-1)
        return [block.unflatten(-1, (num_heads, -1)) for block in both]

    def innermost() -> tuple[Tensor, ...]:
        return flat.unflatten(-1, (-1, num_heads)).transpose(-1, -2).split(list(widths), dim=-1)

    def reshaped() -> tuple[Tensor, ...]:
        rows = flat.reshape(len(x), num_heads, x.shape[1], -1).transpose(1, 2)
        return rows.split(list(widths), dim=-1)

    return {
        f"Are the rows of {weight} per head, {first} then {second}?": lambda: slow_heads(
            x, up, num_heads, widths[::-1]
        )[::-1],
        f"Are the rows of {weight} cut into heads first, and each head into {first} and "
        f"{second}?": blocks,
        f"Do the rows of one head stand next to each other in {weight}?": innermost,
        "Does unflatten cut the last dimension alone, so that positions stay apart?": reshaped,
        f"Every head has the {first} or {second} of head 0: does each take its own rows of "
        f"{weight}?": of_head_0,
    }


def in_each_mode(layer: nn.Module, look: Callable[[], None]) -> None:
    """Look at the layer in training and in evaluation mode; a slip of one mode names it."""
    layer.train()
    training = _slip(look)
    layer.eval()
    try:
        evaluation = _slip(look)
    except Exception:
        if training is None:
            raise
        evaluation = training
    if training and evaluation:
        raise training
    if training or evaluation:
        mode = "training" if training else "evaluation"
        raise Wrong(f"only in {mode} mode (see `self.training`): {training or evaluation}")


def _slip(look: Callable[[], None]) -> Wrong | None:
    try:
        look()
    except Wrong as wrong:
        return wrong
    return None
