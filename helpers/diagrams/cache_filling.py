"""A latent cache while tokens come one by one: what is written, what is read, what is free.

Letters: S positions, R = d_latent, r = d_rope.
"""

from collections.abc import Sequence

import ipywidgets as widgets
import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.colors import to_hex
from torch import Tensor

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import (
    EMPTY,
    INK,
    LINE,
    MAIN,
    MARGIN,
    QUIET,
    SECOND,
    SMALL,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted, tidy
from helpers.diagrams.drawing.explorer import DiagramExplorer
from helpers.plots.palette import numbers

MOST_POSITIONS, MOST_LATENT, MOST_ROTARY = 24, 16, 8  # the last two: numbers drawn of a column
_TOP, _CELL, _LEFT, _WIDEST = 104, 9, 124, 110
_TINTS = 6  # shades of one colour


def cache_filling(
    latent: Float[Tensor, "S R"],
    k_rotary: Float[Tensor, "S r"],
    position: int,
    words: Sequence[str],
) -> Card:
    """The cache when the token at `position` is decoded: its column written, all so far read.

    Of each column, up to 16 numbers of the latent and 8 of the rotary key are drawn.
    """
    parts = numbers("latent", latent, "S R"), numbers("k_rotary", k_rotary, "S r")
    size = at_most("the number of positions", len(parts[0]), MOST_POSITIONS)
    if len(parts[1]) != size:
        raise ValueError(f"k_rotary must have {size} positions, as latent has, got {len(parts[1])}")
    if not 0 <= position < size:
        raise ValueError(f"position must be between 0 and {size - 1}, got {position}")
    names = tidy(words, size, "position")
    width = parts[0].shape[1] + parts[1].shape[1]
    drawn = _drawn(parts)
    some = f", {drawn[0]} + {drawn[1]} of them drawn" if sum(drawn) < width else ""
    canvas = Canvas(
        _TOP + _CELL * sum(drawn) + 132,
        f"The cache at position {position}: “{names[position]}”",
        f"per position {parts[0].shape[1]} + {parts[1].shape[1]} numbers{some}; "
        "the darker, the farther from 0",
    )
    bottom = _columns(canvas, parts, position, names)
    read = f"read: {counted(position + 1, 'column')} × {width} = {(position + 1) * width:,} numbers"
    canvas.text((_LEFT, bottom + 72), read, colour=MAIN, align="left")
    written = f"written: {width} numbers; free: {counted(size - position - 1, 'column')}"
    canvas.text((_LEFT, bottom + 94), written, colour=SECOND, align="left")
    return canvas.card(
        f"a latent cache of {size} positions, {width} numbers each, at position {position}",
        f"At position {position}, “{names[position]}”, {width} numbers are written and those of "
        f"{counted(position + 1, 'position')} are read; positions free: {size - position - 1}.",
    )


def _drawn(parts: tuple[np.ndarray, np.ndarray]) -> tuple[int, int]:
    """How many numbers of a latent and of a rotary key are drawn."""
    return min(parts[0].shape[1], MOST_LATENT), min(parts[1].shape[1], MOST_ROTARY)


def _columns(
    canvas: Canvas, parts: tuple[np.ndarray, np.ndarray], position: int, names: list[str]
) -> Pixels:
    """Draws the columns with their names; returns the y under them."""
    heights = [rows * _CELL for rows in _drawn(parts)]
    columns = Box(_LEFT, 0, WIDTH - MARGIN - _LEFT, 0).split(len(names), 4)
    columns = [Box(box.x, 0, min(box.width, _WIDEST), 0) for box in columns]
    step = columns[0].width + 4
    columns = [Box(_LEFT + i * step, 0, columns[0].width, 0) for i in range(len(names))]
    top = float(_TOP)
    for values, height, name, colours in zip(
        parts, heights, ("latent", "rotary key"), ("Blues", "Oranges"), strict=True
    ):
        canvas.text((MARGIN, top + height / 2), name, align="left")
        tints = _tints(values[:, : round(height / _CELL)], colours)
        for i, column in enumerate(columns):
            box = Box(column.x, top, column.width, height)
            if i <= position:
                canvas.stack(box, tints[i])
            else:
                canvas.box(box, fill=EMPTY, edge=LINE, dashed=True, corner=0, thick=0.8)
        top += height + 6
    tall = top - 6 - _TOP
    canvas.frame(Box(columns[position].x - 2, _TOP - 2, step, tall + 4), SECOND)
    canvas.text((columns[position].centre[0], _TOP - 16), "new", SMALL, SECOND, weight="bold")
    for i, (column, name) in enumerate(zip(columns, names, strict=True)):
        x, now = column.centre[0], i == position
        colour = SECOND if now else INK if i < position else QUIET
        canvas.text((x, top + 10), str(i), SMALL, colour, weight="bold" if now else "normal")
        canvas.text((x, top + 28), name, SMALL, colour, most=column.width + 2)
    first, last = columns[0], columns[position]
    canvas.arrow((first.x, top + 48), (last.right, top + 48), MAIN, head=False, thick=2.5)
    return top - 4


def _tints(values: np.ndarray, colours: str) -> list[list[str]]:
    """A shade for each number by its absolute value, the largest of all the darkest."""
    size = abs(values) / max(abs(values).max(), 1e-12)
    shade = 0.1 + 0.7 * np.ceil(size * (_TINTS - 1)) / (_TINTS - 1)
    drawn = matplotlib.colormaps[colours]
    return [[to_hex(drawn(x)) for x in row] for row in shade]


def cache_filling_explorer(
    latent: Float[Tensor, "S R"], k_rotary: Float[Tensor, "S r"], words: Sequence[str]
) -> DiagramExplorer:
    """A slider for the position over `cache_filling`, from the first to the last."""
    size = len(numbers("latent", latent, "S R"))
    return DiagramExplorer(
        "CacheFilling",
        lambda position: cache_filling(latent, k_rotary, position, words),
        position=widgets.IntSlider(0, 0, size - 1, description="position"),
    )
