"""Two ways to cut finer: the hidden width of each expert, and the token itself.

Letters: E experts, K = top_k, m = the number of segments.
"""

import math

import numpy as np
from jaxtyping import Int
from torch import Tensor

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import (
    EMPTY,
    INK,
    LINE,
    MAIN,
    MARGIN,
    PALE,
    QUIET,
    SMALL,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, choices, counted, tidy

MOST_EXPERTS, MOST_SEGMENTS = 64, 8


def expert_segments(num_experts: int, top_k: int, expert_dim: int, m: int) -> Card:
    """Each expert cut in `m` along its hidden width, and `m` times as many chosen.

    Boxes are as wide as an expert's hidden width, and some `top_k` of them are marked as chosen
    (arXiv 2401.06066, section 3.1).
    """
    at_most("m", m, MOST_SEGMENTS)
    at_most("m * num_experts", m * num_experts, MOST_EXPERTS)
    at_most("top_k", top_k, num_experts)
    if expert_dim % m:
        raise ValueError(f"m must divide expert_dim={expert_dim}, got {m}")
    title = f"{counted(num_experts, 'expert')}, and each of them cut in {m}"
    note = "a box is as wide as an expert's hidden width; blue: an example of a choice"
    canvas = Canvas(296, title, note)
    whole = _experts(canvas, 106, num_experts, top_k)
    fine = _experts(canvas, 202, m * num_experts, m * top_k)
    for i, box in enumerate(whole):
        for x, piece_x in ((box.x, fine[m * i].x), (box.right, fine[m * i + m - 1].right)):
            canvas.arrow((x, box.bottom + 4), (piece_x, fine[0].y - 4), LINE, head=False, thick=1)
    before = _choice(num_experts, top_k, expert_dim)
    after = _choice(m * num_experts, m * top_k, expert_dim // m)
    for y, text in ((whole[0].y - 17, before), (fine[0].bottom + 20, after)):
        canvas.text((MARGIN, y), text, align="left", most=WIDTH - 2 * MARGIN)
    says = f"{title}, with {top_k} and {m * top_k} chosen"
    return canvas.card(says, f"{before}. Cut in {m}: {after}.")


def _experts(canvas: Canvas, top: Pixels, number: int, top_k: int) -> list[Box]:
    chosen = set(np.random.default_rng(1).choice(number, top_k, replace=False).tolist())
    gap = 8 if number <= 16 else 3
    boxes = Box(MARGIN, top, WIDTH - 2 * MARGIN, 40).split(number, gap)
    for i, box in enumerate(boxes):
        taken = i in chosen
        text = str(i) if box.width >= 22 else ""
        canvas.box(box, text, fill=PALE if taken else EMPTY, edge=MAIN if taken else LINE, corner=3)
    return boxes


def _choice(number: int, top_k: int, width: int) -> str:
    ways = math.comb(number, top_k)
    many = counted(ways, "choice") if ways < 10**12 else f"{_power(ways)} choices"
    choice = f"{top_k} of {number}: {many}"
    return f"{choice}, hidden width {top_k} × {width:,} = {top_k * width:,} per token"


def _power(number: int) -> str:
    """ "1.8 × 10¹⁸"."""
    digits, exponent = f"{number:.1e}".split("e+")
    return f"{digits} × 10{exponent.translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def token_segments(experts: Int[Tensor, "m K"], num_experts: int, d_model: int, word: str) -> Card:
    """One token cut in `m` slices of `d_model / m`; each goes to K experts of its own."""
    chosen = choices("experts", experts, "m K", num_experts)
    at_most("the number of segments", len(chosen), MOST_SEGMENTS)
    at_most("num_experts", num_experts, 16)
    if d_model % len(chosen):
        raise ValueError(f"the {len(chosen)} segments must divide d_model, got {d_model}")
    (word,) = tidy([word], 1, "token")
    width, tall = d_model // len(chosen), len(chosen) * 40 - 10
    title = f"“{word}”, {d_model:,} wide, in {counted(len(chosen), 'slice')} of {width:,}"
    canvas = Canvas(
        110 + tall + 24,
        title,
        f"each slice goes to {counted(chosen.shape[1], 'expert')} of its own",
    )
    rows = Box(MARGIN, 110, WIDTH - 2 * MARGIN, tall).stacked(len(chosen), 10)
    token = canvas.box(Box(MARGIN, 104, 70, tall + 12), word, weight="bold", fill=PALE, edge=MAIN)
    merged = canvas.box(Box(WIDTH - MARGIN - 70, 104, 70, tall + 12), "y", fill=PALE, edge=MAIN)
    grid = Box(270, 0, 380, 0)
    canvas.text((grid.centre[0], 90), f"experts 0 to {num_experts - 1}", SMALL, QUIET)
    for i, row in enumerate(rows):
        piece = canvas.box(
            Box(126, row.y, 112, row.height), f"{i * width}–{(i + 1) * width - 1}", edge=INK
        )
        canvas.arrow((token.right, row.centre[1]), piece.west, INK)
        canvas.arrow(piece.east, (grid.x, row.centre[1]), INK)
        _slice_experts(canvas, Box(grid.x, row.y, grid.width, row.height), chosen[i], num_experts)
        canvas.arrow((grid.right, row.centre[1]), (merged.x, row.centre[1]), MAIN)
    pairs = [f"slice {i} goes to {_and(row)}" for i, row in enumerate(chosen.tolist())]
    slices = counted(len(chosen), "slice")
    says = f"one token of width {d_model} in {slices}, each with its own experts"
    return canvas.card(says, f"“{word}” in {slices}: {'; '.join(pairs)}.")


def _slice_experts(canvas: Canvas, row: Box, chosen: np.ndarray, num_experts: int) -> None:
    for i, box in enumerate(row.split(num_experts, 3)):
        taken = i in chosen
        fill, edge = (PALE, MAIN) if taken else (EMPTY, EMPTY)
        canvas.box(box, str(i) if taken else "", fill=fill, edge=edge, size=SMALL, corner=3)


def _and(experts: list[int]) -> str:
    return " and ".join(str(i) for i in experts)
