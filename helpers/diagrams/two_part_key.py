"""One query against one key of two parts: the content of each head, and one rotary part for all.

Letters: H heads, d = d_head, r = d_rope.
"""

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import (
    INK,
    MAIN,
    MARGIN,
    PALE,
    PALE_SECOND,
    QUIET,
    SECOND,
    SMALL,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import counted
from helpers.plots.palette import numbers

MOST_DRAWN = 4
_TOP, _LANE, _PARTS = 104, 62, 190  # of one head; the width of a whole query or key


def two_part_key(
    q_content: Float[Tensor, "H d"],
    q_rotary: Float[Tensor, "H r"],
    k_content: Float[Tensor, "H d"],
    k_rotary: Float[Tensor, " r"],
) -> Card:
    """Each head's query and key in two parts, the products of both, and the score.

    The rotary key is one for all heads (arXiv 2405.04434, eqs. 14-17). Four heads are drawn.
    """
    q, q_turned = numbers("q_content", q_content, "H d"), numbers("q_rotary", q_rotary, "H r")
    k, k_turned = numbers("k_content", k_content, "H d"), numbers("k_rotary", k_rotary, "r")
    if q.shape != k.shape or q_turned.shape != (len(q), len(k_turned)):
        raise ValueError(
            f"shapes must be (H, d), (H, r), (H, d) and (r,), "
            f"got {q.shape}, {q_turned.shape}, {k.shape} and {k_turned.shape}"
        )
    (heads, d), r = q.shape, len(k_turned)
    drawn = min(heads, MOST_DRAWN)
    products = np.stack([(q * k).sum(1), q_turned @ k_turned], axis=1)
    scores = products.sum(1) / math.sqrt(d + r)
    note = f"{counted(heads, 'head')}: content {d} wide in each, one rotary key {r} wide for all"
    canvas = Canvas(_TOP + drawn * _LANE + 46, "A query and a key of two parts", note)
    shared = _shared_key(canvas, drawn, d, r)
    for i in range(drawn):
        _head(canvas, i, d, r, products[i], scores[i], shared)
    foot = f"score = (content product + rotary product) / √({d} + {r})"
    if heads > drawn:
        foot += f"; heads {drawn} to {heads - 1} likewise"
    canvas.text((MARGIN, _TOP + drawn * _LANE + 22), foot, SMALL, QUIET, align="left")
    return canvas.card(
        f"two-part queries and keys of {counted(heads, 'head')}, content {d} and rotary {r} wide",
        "; ".join(
            f"head {i}: content {a:.2f}, rotary {b:.2f}, score {scores[i]:.2f}"
            for i, (a, b) in enumerate(products[:drawn])
        ),
    )


def _widths(d: int, r: int) -> tuple[Pixels, Pixels]:
    """Of the content part and the rotary part, to scale, yet wide enough for a letter."""
    rotary = min(max(_PARTS * r / (d + r), 34), _PARTS - 34)
    return _PARTS - rotary, rotary


def _shared_key(canvas: Canvas, drawn: int, d: int, r: int) -> Box:
    """The one rotary key, as tall as the heads that share it."""
    content, rotary = _widths(d, r)
    left = 340 + content + 6
    box = Box(left, _TOP, rotary, drawn * _LANE - 24)
    for x, text in ((98 + _PARTS / 2, "query"), (340 + _PARTS / 2, "key")):
        canvas.text((x, _TOP - 20), text, weight="bold")
    for x, text in ((598, "content"), (668, "rotary"), (754, "score")):
        canvas.text((x, _TOP - 20), text, SMALL, QUIET)
    return canvas.box(box, "kᴿ", fill=PALE_SECOND, edge=SECOND)


def _head(
    canvas: Canvas, i: int, d: int, r: int, products: np.ndarray, score: float, shared: Box
) -> None:
    content, rotary = _widths(d, r)
    y = _TOP + i * _LANE
    middle = y + 19
    canvas.text((MARGIN, middle), f"head {i}", align="left", weight="bold")
    canvas.box(Box(98, y, content, 38), "q", f"{d}" if content > 60 else "", fill=PALE, edge=MAIN)
    turned = Box(98 + content + 6, y, rotary, 38)
    canvas.box(turned, "qᴿ", fill=PALE_SECOND, edge=SECOND)
    canvas.box(Box(340, y, content, 38), "k", f"{d}" if content > 60 else "", fill=PALE, edge=MAIN)
    canvas.arrow((turned.right + 6, middle), (334, middle), INK)
    canvas.arrow((shared.right + 6, middle), (566, middle), INK)
    for x, value, colour in ((598, products[0], MAIN), (668, products[1], SECOND)):
        canvas.text((x, middle), _signed(value), colour=colour, most=56)
    canvas.text((633, middle), "+")
    canvas.text((706, middle), "→")
    canvas.box(Box(724, middle - 15, WIDTH - MARGIN - 724, 30), _signed(score), edge=INK)


def _signed(value: float) -> str:
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return text.replace("-", "−")
