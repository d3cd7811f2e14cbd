"""Two places for one matrix: on the cached latents, or on the query.

Letters: H heads, d = d_head, R = d_latent, S positions.
"""

from helpers.diagrams.box import Box
from helpers.diagrams.canvas import (
    INK,
    MAIN,
    MARGIN,
    PALE,
    PALE_SECOND,
    QUIET,
    SECOND,
    WIDTH,
    Canvas,
)
from helpers.diagrams.card import Card
from helpers.model.attention_sizes import validate_sizes

_TOP, _TALL, _GAP = 76, 172, 14
_COLUMNS = (44, 216, 388)  # left sides: what comes in, the matrix, what it becomes
_BOX = Box(0, 0, 132, 46)


def expand_or_absorb(num_heads: int, d_head: int, d_latent: int, positions: int) -> Card:
    """The content scores of one new query over `positions` latents, by both ways.

    Multiplications are those of the keys' half, for all heads; the values' half is alike
    (arXiv 2405.04434, section 2.1.2).
    """
    validate_sizes(num_heads=num_heads, d_head=d_head, d_latent=d_latent, positions=positions)
    H, d, R, S = num_heads, d_head, d_latent, positions
    expand, absorb = S * R * H * d + S * H * d, H * d * R + S * H * R
    title = f"Where the matrix stands: {H} heads of {d}, latent {R}, {S:,} positions"
    canvas = Canvas(_TOP + 2 * _TALL + _GAP + 24, title, "the same scores; the matrix, red, moves")
    lanes = Box(MARGIN, _TOP, WIDTH - 2 * MARGIN, 2 * _TALL + _GAP).stacked(2, _GAP)
    latents, query = ("cached latents", f"{S:,} × {R}"), ("query", f"{H} × {d}")
    keys, moved = ("keys", f"{S:,} × {H} × {d}"), ("query in the latent", f"{H} × {R}")
    cost = f"S·R·H·d + S·H·d = {expand:,} multiplications"
    _lane(canvas, lanes[0], "expand", [latents, keys], [query], 0, H, d, R, S, cost)
    cost = f"H·d·R + S·H·R = {absorb:,} multiplications"
    _lane(canvas, lanes[1], "absorb", [latents], [query, moved], 1, H, d, R, S, cost)
    return canvas.card(
        f"the key matrix on the cached latents or on the query, {H} heads of {d}, latent {R}, "
        f"{S} positions",
        f"Expanding multiplies all {S:,} latents by the matrix, {expand:,} multiplications; "
        f"absorbing multiplies the query by it, {absorb:,}.",
    )


def _lane(
    canvas: Canvas,
    lane: Box,
    name: str,
    upper: list[tuple[str, str]],
    lower: list[tuple[str, str]],
    matrix_row: int,
    H: int,
    d: int,
    R: int,
    S: int,
    cost: str,
) -> None:
    canvas.panel(lane)
    canvas.text((lane.x + 16, lane.y + 18), name, 13, weight="bold", align="left")
    canvas.text((lane.right - 16, lane.y + 18), cost, colour=QUIET, align="right", most=560)
    rows = (lane.y + 40, lane.y + 106)
    dot = canvas.sum_sign((604, lane.y + 96), "·")
    for i, (y, parts) in enumerate(zip(rows, (upper, lower), strict=True)):
        fill, edge = (PALE, MAIN) if i == 0 else ("white", INK)
        end = _BOX.moved(_COLUMNS[0], y)
        canvas.box(end, *parts[0], fill=fill, edge=edge)
        if i == matrix_row:
            matrix = _BOX.moved(_COLUMNS[1], y)
            shape = f"{H} × {d} × {R}"
            canvas.box(matrix, "W_UK", shape, fill=PALE_SECOND, edge=SECOND, weight="bold")
            canvas.arrow(end.east, matrix.west, INK)
            end = _BOX.moved(_COLUMNS[2], y)
            canvas.arrow(matrix.east, end.west, INK)
            canvas.box(end, *parts[1], fill=fill, edge=edge)
        canvas.arrow(end.east, dot.west, INK, bend="h")
    scores = canvas.box(Box(656, dot.y - 10, 116, 46), "scores", f"{H} × {S:,}", edge=INK)
    canvas.arrow(dot.east, scores.west, INK)
