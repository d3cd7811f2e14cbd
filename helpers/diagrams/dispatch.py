"""How rows travel: each expert gathers the tokens that chose it, and its outputs are added back.

Letters: T tokens, E experts, K = top_k.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import (
    EMPTY,
    INK,
    LINE,
    MARGIN,
    QUIET,
    SMALL,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted, gates_and_experts, listed, tidy
from helpers.plots.palette import COLOURS, text_background

MOST_TOKENS, MOST_EXPERTS, MOST_CHOSEN, MOST_CHOICES = 8, 8, 3, 12
_TOP, _ROW, _GAP = 96, 26, 8
_X, _Y = 96, {1: 110, 2: 178, 3: 250}  # the widths of a row of x and, by top_k, of y
_EXPERTS, _EXPERT_WIDTH = 236, 226


def dispatch_rows(
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    num_experts: int,
    words: Sequence[str],
) -> Card:
    """The rows of x, the rows that each expert gathers, and the sums that become the rows of y."""
    at_most("num_experts", num_experts, MOST_EXPERTS)
    weights, chosen = gates_and_experts(gates, experts, "T K", num_experts)
    at_most("the number of tokens", len(chosen), MOST_TOKENS)
    at_most("top_k", chosen.shape[1], MOST_CHOSEN)
    at_most("the number of choices, T·K,", chosen.size, MOST_CHOICES)
    names = tidy(words, len(chosen), "token")
    taken = [np.flatnonzero((chosen == i).any(1)).tolist() for i in range(num_experts)]
    lanes = [_lane(len(rows)) for rows in taken]
    tall = max(sum(lanes) + 10 * (num_experts - 1), len(names) * (_ROW + _GAP) - _GAP)
    token_rows, places = counted(len(names), "row"), counted(num_experts, "expert")
    title = f"{token_rows} to {places} and back, top-{chosen.shape[1]}"
    canvas = Canvas(
        _TOP + tall + 24, title, "each expert sees only the rows of tokens that chose it"
    )
    _headings(canvas, chosen.shape[1])
    xs = _column(MARGIN, _X, len(names), tall)
    ys = _column(WIDTH - MARGIN - _Y[chosen.shape[1]], _Y[chosen.shape[1]], len(names), tall)
    top = _TOP + (tall - sum(lanes) - 10 * (num_experts - 1)) / 2
    for i, (rows, height) in enumerate(zip(taken, lanes, strict=True)):
        _expert(canvas, Box(_EXPERTS, top, _EXPERT_WIDTH, height), i, rows, names, xs, ys)
        top += height + 10
    for row, (word, x, y) in enumerate(zip(names, xs, ys, strict=True)):
        canvas.box(x, word)
        _sum(canvas, y, weights[row], chosen[row])
    says = f"{title}: which rows each expert gathers, and each row's sum"
    return canvas.card(says, _alt(taken, names))


def _lane(rows: int) -> Pixels:
    """The height of an expert that gathers so many rows."""
    return 12 + _ROW * max(rows, 1) + 3 * max(rows - 1, 0)


def _column(left: Pixels, width: Pixels, rows: int, tall: Pixels) -> list[Box]:
    gap = min(34, (tall - rows * _ROW) / rows)
    height = rows * (_ROW + gap) - gap
    return Box(left, _TOP + (tall - height) / 2, width, height).stacked(rows, gap)


def _headings(canvas: Canvas, top_k: int) -> None:
    centres = (MARGIN + _X / 2, "x"), (WIDTH - MARGIN - _Y[top_k] / 2, "y")
    for x, text in centres:
        canvas.text((x, _TOP - 20), text, weight="bold")
    middle = _EXPERTS + _EXPERT_WIDTH / 2
    canvas.text((middle, _TOP - 20), "experts and the rows they gather", weight="bold")


def _expert(
    canvas: Canvas,
    lane: Box,
    i: int,
    rows: list[int],
    names: list[str],
    xs: list[Box],
    ys: list[Box],
) -> None:
    colour, tint = COLOURS[i % len(COLOURS)], text_background(i)
    canvas.box(lane, fill="white" if rows else EMPTY, edge=colour if rows else LINE)
    canvas.text((lane.x + 12, lane.centre[1]), f"expert {i}", align="left", weight="bold", most=80)
    places = Box(lane.x + 96, lane.y + 6, lane.width - 102, lane.height - 12)
    if not rows:
        canvas.text(places.centre, "no row", SMALL, QUIET, room=places)
        return
    for row, place in zip(rows, places.stacked(len(rows), 3), strict=True):
        canvas.box(place, names[row], fill=tint, edge=tint, corner=3)
        canvas.arrow(xs[row].east, (lane.x, place.centre[1]), colour, bend="h", thick=1.3)
        canvas.arrow((lane.right, place.centre[1]), ys[row].west, colour, bend="h", thick=1.3)


def _sum(canvas: Canvas, box: Box, weights: np.ndarray, chosen: np.ndarray) -> None:
    canvas.box(box, edge=INK)
    for place, gate, i in zip(box.inner(3).split(len(chosen), 10), weights, chosen, strict=True):
        tint = text_background(int(i))
        canvas.box(place, f"{gate:.2f} · E{i}", fill=tint, edge=tint, size=SMALL, corner=3)
        if place.right < box.right - 6:
            canvas.text((place.right + 5, box.centre[1]), "+", SMALL)


def _alt(taken: list[list[int]], names: list[str]) -> str:
    lines = [
        f"expert {i} gathers {listed([names[row] for row in rows]) if rows else 'no row'}"
        for i, rows in enumerate(taken)
    ]
    return f"{'; '.join(lines)}. Each row of y is the sum of its experts' outputs times its gates."
