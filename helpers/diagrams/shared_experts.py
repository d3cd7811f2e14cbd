"""Experts that see every token, beside those that a router chooses.

Letters: E routed experts, K = top_k.
"""

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
    PALE_THIRD,
    QUIET,
    SMALL,
    THIRD,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted, gates_and_experts, listed, tidy

MOST_SHARED, MOST_DRAWN, MOST_CHOSEN = 4, 16, 8
_X, _ROW, _GAP = 430, 26, 6


def shared_and_routed(
    gates: Float[Tensor, " K"],
    experts: Int[Tensor, " K"],
    num_experts: int,
    num_shared: int,
    word: str,
) -> Card:
    """One token: `num_shared` experts that it always passes through, and its K of the routed ones.

    Above 16 routed experts, the chosen ones are drawn and the others counted.
    """
    at_most("num_shared", num_shared, MOST_SHARED)
    weights, chosen = gates_and_experts(gates, experts, "K", num_experts)
    at_most("top_k", len(chosen), MOST_CHOSEN)
    (word,) = tidy([word], 1, "token")
    drawn = list(range(num_experts)) if num_experts <= MOST_DRAWN else sorted(chosen.tolist())
    others = num_experts - len(drawn)
    rows = num_shared + len(drawn) + bool(others)
    height = 110 + rows * (_ROW + _GAP) + 46
    title = f"{num_shared} shared and {num_experts} routed experts, top-{len(chosen)}"
    canvas = Canvas(height, title, f"the way of “{word}”")
    shared = Box(_X, 92, 120, num_shared * (_ROW + _GAP) - _GAP).stacked(num_shared, _GAP)
    top = shared[-1].bottom + 46
    routed = Box(_X, top, 120, (len(drawn) + bool(others)) * (_ROW + _GAP) - _GAP)
    places = routed.stacked(len(drawn) + bool(others), _GAP)
    router, plus = _frame(canvas, word, shared, places)
    _shared(canvas, shared, plus)
    gate_of = dict(zip(chosen.tolist(), weights.tolist(), strict=True))
    for i, place in zip(drawn, places, strict=False):
        taken = i in gate_of
        canvas.box(
            place,
            f"expert {i}",
            fill=PALE if taken else EMPTY,
            edge=MAIN if taken else LINE,
            ink=INK if taken else QUIET,
        )
        if taken:
            canvas.arrow(router.east, place.west, MAIN, bend="h")
            canvas.weighted(place.east, plus.west, f"× {gate_of[i]:.2f}", MAIN)
    if others:
        canvas.box(places[-1], f"{others} others", fill=EMPTY, ink=QUIET, dashed=True)
    always = counted(num_shared, "shared expert")
    return canvas.card(
        f"a token's way through {always} and {len(chosen)} of {num_experts} routed ones",
        f"“{word}” passes through {always}, as every token does, and through the routed "
        f"experts {listed([str(i) for i in chosen])} with the gates "
        f"{listed([f'{gate:.2f}' for gate in weights])}; all outputs are added.",
    )


def _frame(canvas: Canvas, word: str, shared: list[Box], routed: list[Box]) -> tuple[Box, Box]:
    """Draws token, router and sum; returns the router and the sum's sign."""
    middle = (shared[0].y + routed[-1].bottom) / 2
    routed_middle = (routed[0].y + routed[-1].bottom) / 2
    token = canvas.box(Box(MARGIN, middle - 20, 96, 40), word, weight="bold", fill=PALE, edge=MAIN)
    router = canvas.box(Box(232, routed_middle - 24, 84, 48), "router", edge=INK)
    canvas.arrow(token.east, router.west, INK, bend="h")
    for place in shared:
        canvas.arrow(token.east, place.west, THIRD, bend="h", thick=2)
    for group, text, colour in (
        (shared, "shared: every token", THIRD),
        (routed, "routed: the chosen", MAIN),
    ):
        canvas.text((_X + 60, group[0].y - 16), text, SMALL, colour, weight="bold")
        canvas.panel(Box(_X - 10, group[0].y - 7, 140, group[-1].bottom - group[0].y + 14))
    plus = canvas.sum_sign((690, middle))
    out = canvas.box(Box(722, middle - 23, 74, 46), "y", "its output", fill=PALE, edge=MAIN)
    canvas.arrow(plus.east, out.west, INK)
    return router, plus


def _shared(canvas: Canvas, shared: list[Box], plus: Box) -> None:
    for i, place in enumerate(shared):
        canvas.box(place, f"shared {i}", fill=PALE_THIRD, edge=THIRD)
        canvas.weighted(place.east, plus.west, "× 1", THIRD)
