"""Experts on devices: a step lasts as long as its busiest device."""

import numpy as np
from jaxtyping import Int
from torch import Tensor

from helpers.diagrams.drawing.box import Box
from helpers.diagrams.drawing.canvas import (
    LINE,
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
from helpers.diagrams.drawing.checked import at_most, counted, listed
from helpers.plots.palette import numbers

MOST_DEVICES = 16
_TOP, _ROW, _GAP, _LEFT, _RIGHT = 84, 26, 8, 112, 684


def devices(load: Int[Tensor, " E"], num_devices: int) -> Card:
    """The rows of each device, expert by expert, the busiest one marked and the waiting hatched.

    Experts stand on devices in their order, equally many on each.
    """
    rows = numbers("load", load, "E")
    at_most("num_devices", num_devices, MOST_DEVICES)
    if len(rows) % num_devices or (rows < 0).any() or not rows.sum():
        raise ValueError(
            f"load must hold counts for a multiple of num_devices={num_devices} experts, not all 0"
        )
    per_device = rows.reshape(num_devices, -1)
    total = per_device.sum(1)
    idle = 1 - total.mean() / total.max()
    size = per_device.shape[1]
    title = f"{counted(len(rows), 'expert')} on {counted(num_devices, 'device')}"
    note = f"rows per device, {counted(size, 'expert')} each; hatched: waiting for the busiest"
    canvas = Canvas(_TOP + num_devices * (_ROW + _GAP) + 44, title, note)
    column = Box(_LEFT, _TOP, _RIGHT - _LEFT, num_devices * (_ROW + _GAP) - _GAP)
    for i, lane in enumerate(column.stacked(num_devices, _GAP)):
        _device(canvas, lane, i, per_device[i], total.max(), bool(idle > 0))
    step = counted(round(total.max()), "row")
    foot = f"one step: {step}; mean: {total.mean():,.0f}; waiting: {idle:.0%}"
    canvas.text((_LEFT, column.bottom + 24), foot, colour=QUIET, align="left")
    busiest = [str(i) for i in np.flatnonzero(total == total.max())]
    return canvas.card(
        f"the rows of {len(rows)} experts on {num_devices} devices, the busiest marked",
        f"Rows per device: {', '.join(f'{x:,.0f}' for x in total)}. Busiest: {listed(busiest)}. "
        f"Waiting: {idle:.0%} of all device time.",
    )


def _device(canvas: Canvas, lane: Box, i: int, rows: np.ndarray, most: float, waits: bool) -> None:
    total, left = rows.sum(), lane.x
    busiest = waits and total == most
    colour, fill = (SECOND, PALE_SECOND) if busiest else (MAIN, PALE)
    y = lane.centre[1]
    canvas.text((MARGIN, y), f"device {i}", align="left", weight="bold" if busiest else "normal")
    for part in rows[rows > 0]:
        width = lane.width * part / most
        canvas.box(Box(left, lane.y, width, lane.height), fill=fill, edge=colour, thick=1, corner=0)
        left += width
    if lane.right - left > 3:
        rest = Box(left, lane.y, lane.right - left, lane.height)
        canvas.box(rest, fill="none", edge=LINE, thick=0.8, hatch="////", corner=0)
    text = f"{total:,.0f}, busiest" if busiest else f"{total:,.0f}"
    canvas.text(
        (lane.right + 8, y), text, SMALL, colour, align="left", most=WIDTH - MARGIN - lane.right - 8
    )
