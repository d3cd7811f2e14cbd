"""A token's way through the router, its chosen experts and their weighted sum.

Letters: T tokens, E experts, K = top_k.
"""

from collections.abc import Sequence

import ipywidgets as widgets
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
    PAPER,
    QUIET,
    SMALL,
    Canvas,
    point_on,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted, gates_and_experts, listed, tidy
from helpers.diagrams.drawing.explorer import DiagramExplorer
from helpers.plots.palette import numbers

MOST_EXPERTS = 12
STEPS = (
    "step 1: a probability for every expert",
    "step 2: the {k} most probable are chosen",
    "step 3: the chosen probabilities become the gates",
    "step 4: the chosen experts' outputs, times their gates, are added",
)
_TOP, _ROW, _GAP = 70, 30, 8


def token_route(
    probs: Float[Tensor, " E"],
    gates: Float[Tensor, " K"],
    experts: Int[Tensor, " K"],
    word: str,
    step: int = 4,
) -> Card:
    """One token's probabilities, chosen experts, gates and sum, up to `step` of four."""
    p = numbers("probs", probs, "E")
    at_most("the number of experts", len(p), MOST_EXPERTS)
    weights, chosen = gates_and_experts(gates, experts, "K", len(p))
    at_most("step", step, len(STEPS))
    (word,) = tidy([word], 1, "token")
    note = STEPS[step - 1].format(k=len(chosen))
    tall = len(p) * (_ROW + _GAP) - _GAP
    top = _TOP + max(0, 56 - tall) / 2
    title = f"The way of “{word}” through {counted(len(p), 'expert')}, top-{len(chosen)}"
    canvas = Canvas(2 * top + tall - _TOP + 22, title, note)
    column = Box(430, top, 104, tall)
    rows = column.stacked(len(p), _GAP)
    middle = column.centre[1]
    token = canvas.box(Box(MARGIN, middle - 20, 92, 40), word, weight="bold", fill=PALE, edge=MAIN)
    router = canvas.box(Box(166, middle - 26, 84, 52), "router", "softmax", edge=INK)
    canvas.arrow(token.east, router.west, INK)
    _to_experts(canvas, router, rows, p, set(chosen.tolist()) if step > 1 else set())
    if step > 2:
        _to_sum(canvas, rows, weights, chosen, step > 3)
    says = f"one token's way through {counted(len(p), 'expert')}, top-{len(chosen)}"
    alt = _alt(word, p, weights, chosen, step)
    return canvas.card(f"{says}, step {step} of {len(STEPS)}", alt)


def _to_experts(
    canvas: Canvas, router: Box, rows: list[Box], p: np.ndarray, chosen: set[int]
) -> None:
    for i, row in sorted(enumerate(rows), key=lambda item: item[0] in chosen):
        taken = i in chosen
        colour = MAIN if taken else LINE
        canvas.arrow(
            router.east, row.west, colour, thick=0.8 + 5 * p[i], bend="h", head=taken or not chosen
        )
        canvas.box(
            row,
            f"expert {i}",
            fill=PALE if taken else EMPTY if chosen else "white",
            edge=colour,
            ink=INK if taken or not chosen else QUIET,
            weight="bold" if taken else "normal",
        )
    for i, row in enumerate(rows):
        at = point_on(router.east, row.west, 0.78, "h")
        canvas.text(at, f"{p[i]:.2f}", SMALL, MAIN if i in chosen else QUIET, on=PAPER)


def _to_sum(
    canvas: Canvas, rows: list[Box], weights: np.ndarray, chosen: np.ndarray, added: bool
) -> None:
    middle = (rows[0].y + rows[-1].bottom) / 2
    plus = Box(664, middle - 13, 26, 26)
    for gate, i in zip(weights, chosen, strict=True):
        (x, y), thick = rows[i].east, 0.8 + 4 * min(abs(gate), 1)
        if added:
            canvas.weighted((x, y), plus.west, f"× {gate:.2f}", MAIN, thick)
        else:
            canvas.arrow((x, y), (x + 88, y), MAIN, thick=thick)
            canvas.text((x + 122, y), f"gate {gate:.2f}", SMALL, MAIN, weight="bold")
    if added:
        canvas.sum_sign(plus.centre)
        out = canvas.box(Box(722, middle - 23, 74, 46), "y", "its output", fill=PALE, edge=MAIN)
        canvas.arrow(plus.east, out.west, INK)


def _alt(word: str, p: np.ndarray, weights: np.ndarray, chosen: np.ndarray, step: int) -> str:
    text = f"The router gives “{word}” the probabilities {', '.join(f'{x:.2f}' for x in p)}"
    if step > 1:
        text += f"; experts {listed([str(i) for i in chosen])} are chosen"
    if step > 2:
        text += f"; their gates are {listed([f'{x:.2f}' for x in weights])}"
    if step > 3:
        text += "; the output is the sum of their outputs times the gates"
    return f"{text}."


def route_explorer(
    probs: Float[Tensor, "T E"],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    words: Sequence[str],
) -> DiagramExplorer:
    """Sliders for the token and the step over `token_route`; it opens on the first step."""
    size, num_experts = numbers("probs", probs, "T E").shape
    gates_and_experts(gates, experts, "T K", num_experts)
    if len(gates) != size:
        raise ValueError(f"gates must have one row for each token, {size}, got {len(gates)}")
    names = tidy(words, size, "token")

    def draw(token: int, step: int) -> Card:
        return token_route(probs[token], gates[token], experts[token], names[token], step)

    return DiagramExplorer(
        "RouteExplorer",
        draw,
        token=widgets.IntSlider(0, 0, size - 1, description="token"),
        step=widgets.IntSlider(1, 1, len(STEPS), description="step"),
    )
