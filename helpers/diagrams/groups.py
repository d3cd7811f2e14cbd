"""A router that first chooses groups of experts, each group a node of several devices.

Letters: E experts, K = top_k.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from helpers.diagrams.drawing.box import Box
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
from helpers.diagrams.drawing.checked import at_most, choices, counted, listed
from helpers.plots.palette import numbers

MOST_GROUPS, MOST_EXPERTS = 8, 64
_TOP, _ROW = 112, 26


def groups(
    scores: Float[Tensor, " E"],
    kept: Float[Tensor, " E"],
    experts: Int[Tensor, " K"],
    num_groups: int,
) -> Card:
    """One token's scores by group, each group's score, the kept groups and the chosen experts.

    `kept` are the scores with -inf outside the kept groups. A group's score is the sum of its two
    highest (arXiv 2412.19437, section 2.1.2).
    """
    values = numbers("scores", scores, "E")
    at_most("the number of experts", len(values), MOST_EXPERTS)
    at_most("num_groups", num_groups, MOST_GROUPS)
    if len(values) % num_groups or len(values) < 2 * num_groups:
        raise ValueError(
            f"num_groups must divide the {len(values)} experts into groups of at least 2, "
            f"got {num_groups}"
        )
    left = torch.isfinite(torch.as_tensor(kept)).detach().cpu().numpy().reshape(num_groups, -1)
    chosen = set(choices("experts", experts, "K", len(values)).tolist())
    size, alive = len(values) // num_groups, np.array([group.all() for group in left])
    title = f"{len(values)} experts in {counted(num_groups, 'group')}, {alive.sum()} of them kept"
    note = f"a group is a node, under it the sum of its two highest; blue: the {len(chosen)} chosen"
    canvas = Canvas(_TOP + size * _ROW + 86, title, note)
    frame = Box(MARGIN + 5, _TOP, WIDTH - 2 * MARGIN - 10, size * _ROW)
    if num_groups < 4:
        frame = Box(MARGIN + 5, _TOP, num_groups * 193 - 14, size * _ROW)
    rows = values.reshape(num_groups, -1)
    for g, column in enumerate(frame.split(num_groups, 14)):
        _group(canvas, column, g, rows[g], bool(alive[g]), chosen)
    names = [str(g) for g in np.flatnonzero(alive)]
    return canvas.card(
        f"{len(values)} experts in {num_groups} groups: group scores, kept groups, chosen experts",
        f"Groups kept of {num_groups}: {listed(names)}. Experts chosen in them: "
        f"{listed([str(i) for i in sorted(chosen)])}.",
    )


def _group(
    canvas: Canvas, column: Box, g: int, values: np.ndarray, alive: bool, chosen: set[int]
) -> None:
    ink = INK if alive else QUIET
    panel = Box(column.x - 5, column.y - 34, column.width + 10, column.height + 96)
    canvas.panel(panel, "white" if alive else EMPTY, MAIN if alive else "none")
    canvas.text((column.centre[0], column.y - 18), f"group {g}", weight="bold", colour=ink)
    for place, (row, score) in zip(column.stacked(len(values)), enumerate(values), strict=True):
        i = g * len(values) + row
        box = place.inner(2)
        fill, edge = (PALE, MAIN) if i in chosen else (EMPTY, LINE)
        canvas.box(box, fill=fill, edge=edge, corner=3)
        canvas.text((box.x + 7, box.centre[1]), f"{i}", SMALL, ink, align="left")
        canvas.text((box.right - 7, box.centre[1]), _score(score), SMALL, ink, align="right")
    first, second = sorted(values)[:-3:-1]
    middle, below = column.centre[0], column.bottom
    sum_text = f"{_score(first)} + {_score(second)}"
    canvas.text((middle, below + 16), sum_text, SMALL, ink, most=column.width + 6)
    strong = "bold" if alive else "normal"
    canvas.text((middle, below + 33), f"= {_score(first + second)}", colour=ink, weight=strong)
    canvas.text(
        (middle, below + 50), "kept" if alive else "left out", SMALL, MAIN if alive else QUIET
    )


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
