"""What an attention keeps of each token, drawn to scale."""

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import (
    INK,
    MAIN,
    MARGIN,
    PALE,
    PALE_SECOND,
    PALE_THIRD,
    QUIET,
    SECOND,
    SMALL,
    THIRD,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted
from helpers.model.kv_cache import ways_to_cache

_LEFT, _RIGHT, _TOP, _HEIGHT, _GAP = 152, 640, 92, 40, 26
_TALL = 4  # times as tall is MHA where it keeps many times more


def kept_by(num_heads: int, d_head: int, kv_heads: int, d_latent: int, d_rope: int) -> Card:
    """MHA, GQA, MQA and MLA: the numbers kept per token and layer, areas to scale.

    Keys are blue, values green, MLA's latent is blue too, and its rotary key is vermilion.
    """
    at_most("kv_heads", kv_heads, num_heads)
    kept = ways_to_cache(num_heads, d_head, kv_heads, d_latent, d_rope)
    notes = {
        "MHA": counted(num_heads, "KV head"),
        "GQA": counted(kv_heads, "KV head"),
        "MQA": "1 KV head",
        "MLA": "latent, rotary key",
    }
    others = max(kept[name] for name in notes if name != "MHA")
    heights = dict.fromkeys(notes, _HEIGHT)
    if kept["MHA"] > 2 * _TALL * others:
        heights["MHA"] *= _TALL
    scale = (_RIGHT - _LEFT) / max(kept[name] / heights[name] for name in notes)
    canvas = Canvas(
        _TOP + sum(heights.values()) + len(notes) * _GAP + 32,
        "What each attention keeps of one token, per layer",
        f"{counted(num_heads, 'head')} of {d_head}; in numbers, areas to scale",
    )
    top = float(_TOP)
    for name, note in notes.items():
        middle, height = top + heights[name] / 2, heights[name]
        canvas.text((MARGIN, middle - 9), name, 14, weight="bold", align="left")
        canvas.text((MARGIN, middle + 9), note, SMALL, QUIET, align="left", most=_LEFT - MARGIN - 8)
        pair = (d_latent, d_rope) if name == "MLA" else (kept[name] // 2, kept[name] // 2)
        second = (PALE_SECOND, SECOND) if name == "MLA" else (PALE_THIRD, THIRD)
        parts = [(pair[0], PALE, MAIN), (pair[1], *second)]
        right = _lane(canvas, top, height, parts, scale / height)
        total = f"{kept[name]:,}{_beside(kept[name], kept['MHA'])}"
        canvas.text((right + 10, middle), total, align="left", most=WIDTH - right - 20)
        top += height + _GAP
    _key(canvas, top + 4)
    listing = "; ".join(f"{name} {kept[name]:,} ({note})" for name, note in notes.items())
    return canvas.card(
        f"what {', '.join(notes)} keep per token and layer, with {num_heads} heads of {d_head}",
        f"Numbers kept per token and layer: {listing}. MLA's are {d_latent} of the latent and "
        f"{d_rope} of the rotary key.",
    )


def _beside(numbers: int, mha: int) -> str:
    if numbers == mha:
        return ""
    return f", MHA ÷ {mha / numbers:.3g}" if numbers < mha else f", MHA × {numbers / mha:.3g}"


def _lane(
    canvas: Canvas, top: Pixels, height: Pixels, parts: list[tuple[int, str, str]], scale: Pixels
) -> float:
    """The parts beside each other, each as wide as its numbers; returns where they end."""
    left = float(_LEFT)
    for numbers, fill, edge in parts:
        box = Box(left, top, max(numbers * scale, 0.8), height)
        text = f"{numbers:,}" if box.width > 44 else ""
        canvas.box(box, text, fill=fill, edge=edge, thick=1, corner=0)
        left = box.right
    return left


def _key(canvas: Canvas, y: Pixels) -> None:
    left = float(_LEFT)
    for fill, edge, name in (
        (PALE, MAIN, "keys; MLA: the latent of both"),
        (PALE_THIRD, THIRD, "values"),
        (PALE_SECOND, SECOND, "rotary key"),
    ):
        canvas.box(Box(left, y - 7, 14, 14), fill=fill, edge=edge, corner=0)
        drawn = canvas.text((left + 22, y), name, SMALL, INK, align="left")
        left += 22 + canvas.width_of(drawn) + 24
