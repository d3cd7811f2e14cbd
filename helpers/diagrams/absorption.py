"""Two places for one matrix: on the cached latents, or on the query.

Letters: H heads, d = d_head, R = d_latent, S positions.
"""

from helpers.diagrams.drawing.box import Box
from helpers.diagrams.drawing.canvas import (
    INK,
    MAIN,
    MARGIN,
    PALE,
    QUIET,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.model.attention_sizes import validate_sizes
from helpers.plots.palette import COLOURS, text_background

_TOP, _TALL, _GAP = 76, 172, 14
_COLUMNS = (44, 216, 388)  # left sides: what comes in, the matrix, what it becomes
_BOX = Box(0, 0, 132, 46)
_OF_MATRIX = text_background(4), COLOURS[4]  # pink: orange is the rotary key's


def expand_or_absorb(num_heads: int, d_head: int, d_latent: int, positions: int) -> Card:
    """The content scores of one new query over `positions` latents, by both ways.

    Multiplications are those of the keys' half, for all heads; the values' half is alike
    (arXiv 2405.04434, section 2.1.2).
    """
    validate_sizes(num_heads=num_heads, d_head=d_head, d_latent=d_latent, positions=positions)
    H, d, R, S = num_heads, d_head, d_latent, positions
    expand, absorb = S * R * H * d + S * H * d, H * d * R + S * H * R
    canvas = Canvas(
        _TOP + 2 * _TALL + _GAP + 24,
        f"Where the matrix stands: H = {H} heads, d = {d}, latent R = {R}, S = {S:,}",
        "content scores of one new query; W_UK, pink, stands on the cache or on the query",
    )
    lanes = Box(MARGIN, _TOP, WIDTH - 2 * MARGIN, 2 * _TALL + _GAP).stacked(2, _GAP)
    latents, query = ("cached latents", f"{S:,} × {R}"), ("query", f"{H} × {d}")
    matrix, scores = ("W_UK", f"{H} × {d} × {R}"), ("scores", f"{H} × {S:,}")
    keys, moved = ("keys", f"{S:,} × {H} × {d}"), ("query in the latent", f"{H} × {R}")
    _heading(canvas, lanes[0], "expand", f"S·R·H·d + S·H·d = {expand:,} multiplications")
    _lane(canvas, lanes[0], [latents, matrix, keys], [query], scores)
    _heading(canvas, lanes[1], "absorb", f"H·d·R + S·H·R = {absorb:,} multiplications")
    _lane(canvas, lanes[1], [latents], [query, matrix, moved], scores)
    return canvas.card(
        f"the key matrix on the cached latents or on the query, {H} heads of {d}, latent {R}, "
        f"{S} positions",
        f"Expanding multiplies all {S:,} latents by the matrix, {expand:,} multiplications; "
        f"absorbing multiplies the query by it, {absorb:,}.",
    )


def _heading(canvas: Canvas, lane: Box, name: str, cost: str) -> None:
    canvas.panel(lane)
    canvas.text((lane.x + 20, lane.y + 20), name, 13, weight="bold", align="left")
    canvas.text((lane.right - 24, lane.y + 20), cost, colour=QUIET, align="right", most=580)


def _lane(
    canvas: Canvas,
    lane: Box,
    upper: list[tuple[str, str]],
    lower: list[tuple[str, str]],
    scores: tuple[str, str],
) -> None:
    """What happens to the cache above, to the query below, and their products; (name, shape)s."""
    dot = canvas.sum_sign((604, lane.y + 96), "·")
    for y, parts, fill, edge in (
        (lane.y + 40, upper, PALE, MAIN),
        (lane.y + 106, lower, "white", INK),
    ):
        end = _BOX.moved(_COLUMNS[0], y)
        canvas.box(end, *parts[0], fill=fill, edge=edge)
        for left, part in zip(_COLUMNS[1:], parts[1:], strict=False):
            before, end = end, _BOX.moved(left, y)
            canvas.arrow(before.east, end.west, INK)
            colours = _OF_MATRIX if part[0] == "W_UK" else (fill, edge)
            canvas.box(end, *part, fill=colours[0], edge=colours[1])
        canvas.arrow(end.east, dot.west, INK, bend="h")
    end = canvas.box(Box(656, dot.y - 10, 116, 46), *scores, edge=INK)
    canvas.arrow(dot.east, end.west, INK)
