"""One update of the balancing bias, from a batch's load to the next token's choice.

Letters: E experts, K = top_k.
"""

from collections.abc import Sequence

import numpy as np
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
from helpers.diagrams.drawing.checked import at_most, counted, listed
from helpers.plots.palette import numbers, validate_length

MOST_EXPERTS = 8
_TOP, _ROW, _GAP = 64, 30, 12
_LABELS, _LOOP = 186, 40  # widths, of the names on the left and of the arrow on the right


def bias_loop(
    load: Int[Tensor, " E"],
    bias: Float[Tensor, " E"],
    new_bias: Float[Tensor, " E"],
    affinity: Float[Tensor, " E"],
    top_k: int,
) -> Card:
    """A batch's load, the sign of each error, the bias before and after, and one token's choice.

    The choice is by affinity plus new bias; its gates are its affinities over their sum, without
    any bias (arXiv 2408.15664, algorithm 1; arXiv 2412.19437, eq. 16).
    """
    named = {"load": load, "bias": bias, "new_bias": new_bias, "affinity": affinity}
    values = {name: numbers(name, value, "E") for name, value in named.items()}
    size = at_most("the number of experts", len(values["load"]), MOST_EXPERTS)
    for name, value in values.items():
        validate_length(name, value, "expert", size)
    at_most("top_k", top_k, size)
    score = values["affinity"] + values["new_bias"]
    chosen = np.argsort(-score, kind="stable")[:top_k]
    gates = values["affinity"] / values["affinity"][chosen].sum()
    canvas = Canvas(
        _TOP + 8 * (_ROW + _GAP) + 22,
        f"One update of the balancing bias of {counted(size, 'expert')}, top-{top_k}",
        "load to sign to bias to choice to the next load (dashed); the gates take no bias (black)",
    )
    width = WIDTH - 2 * MARGIN - _LABELS - _LOOP
    frame = Box(MARGIN + _LABELS, _TOP, width, 8 * (_ROW + _GAP) - _GAP)
    rows = [row.split(size, 8) for row in frame.stacked(8, _GAP)]
    _batch(canvas, rows, values)
    _token(canvas, rows, values["affinity"], score, gates, set(chosen.tolist()))
    _loop(canvas, frame, rows)
    signs = [_sign(values["load"].mean() - x) for x in values["load"]]
    return canvas.card(
        f"one update of the balancing bias of {counted(size, 'expert')}, and a choice by it",
        f"Load {_all(values['load'], 0)}; signs {', '.join(signs)}; bias {_all(values['bias'], 3)} "
        f"becomes {_all(values['new_bias'], 3)}. A token of affinity {_all(values['affinity'], 2)} "
        f"chooses {listed([str(i) for i in sorted(chosen)])}.",
    )


def _batch(canvas: Canvas, rows: list[list[Box]], values: dict[str, np.ndarray]) -> None:
    load = values["load"]
    errors = load.mean() - load
    for i, box in enumerate(rows[0]):
        canvas.text(box.centre, f"expert {i}", SMALL, QUIET, most=box.width)
    _row(canvas, rows[1], "load of the batch", f"mean {load.mean():,.1f}", _texts(load, 0))
    fills = [PALE_THIRD if x > 0 else PALE_SECOND if x < 0 else EMPTY for x in errors]
    edges = [THIRD if x > 0 else SECOND if x < 0 else LINE for x in errors]
    texts = [_sign(x) for x in errors]
    _row(canvas, rows[2], "sign of mean − load", "", texts, fills, edges)
    _row(canvas, rows[3], "bias before", "", _texts(values["bias"], 3))
    _row(canvas, rows[4], "bias after", "", _texts(values["new_bias"], 3), fills, edges)


def _token(
    canvas: Canvas,
    rows: list[list[Box]],
    affinity: np.ndarray,
    score: np.ndarray,
    gates: np.ndarray,
    chosen: set[int],
) -> None:
    taken = [i in chosen for i in range(len(affinity))]
    fills = [PALE if x else EMPTY for x in taken]
    edges = [MAIN if x else LINE for x in taken]
    _row(canvas, rows[5], "a token's affinity", "", _texts(affinity, 2))
    _row(canvas, rows[6], "affinity + bias", "chooses", _texts(score, 3), fills, edges)
    texts = [f"{gate:.2f}" if x else "" for gate, x in zip(gates, taken, strict=True)]
    _row(canvas, rows[7], "gate, from affinity", "", texts, fills, edges)


def _row(
    canvas: Canvas,
    boxes: list[Box],
    name: str,
    note: str,
    texts: list[str],
    fills: Sequence[str] | None = None,
    edges: Sequence[str] | None = None,
) -> None:
    y = boxes[0].centre[1]
    canvas.text((MARGIN, y - 7 * bool(note)), name, align="left", most=_LABELS - 36)
    if note:
        canvas.text((MARGIN, y + 9), note, SMALL, QUIET, align="left", most=_LABELS - 36)
    for i, (box, text) in enumerate(zip(boxes, texts, strict=True)):
        fill, edge = fills[i] if fills else "white", edges[i] if edges else LINE
        canvas.box(box, text, fill=fill, edge=edge, corner=3)


def _loop(canvas: Canvas, frame: Box, rows: list[list[Box]]) -> None:
    """The order of the rows, and the way back to the next batch's load."""
    for upper, lower in ((1, 2), (5, 6)):
        for box, under in zip(rows[upper], rows[lower], strict=True):
            canvas.arrow(box.south, under.north, QUIET)
    for upper, lower in ((2, 4), (4, 6)):
        start, end, x = rows[upper][0].west, rows[lower][0].west, frame.x - 16
        canvas.arrow(start, end, QUIET, via=((x, start[1]), (x, end[1])))
    start, end, x = rows[5][-1].east, rows[7][-1].east, frame.right + 12
    canvas.arrow(start, end, INK, via=((x, start[1]), (x, end[1])))
    start, end, x = rows[6][-1].east, rows[1][-1].east, frame.right + 30
    canvas.arrow(start, end, MAIN, via=((x, start[1]), (x, end[1])), dashed=True)


def _sign(error: float) -> str:
    return "+1" if error > 0 else "−1" if error < 0 else "0"


def _texts(values: np.ndarray, digits: int) -> list[str]:
    return [f"{value:,.{digits}f}".replace("-", "−") for value in values]


def _all(values: np.ndarray, digits: int) -> str:
    return ", ".join(_texts(values, digits))
