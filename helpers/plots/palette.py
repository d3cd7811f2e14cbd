"""What all pictures share: colours, new axes and their labels, and the validation of numbers.

A plot function draws on the `ax` or `figure` it is given, else on a new pyplot figure, and returns
nothing. Jupyter shows an open figure when its cell ends, so a cell stores one picture and one
comparable line, `<Figure size 640x380 with 1 Axes>`; in a script, call `plt.show()`.
"""

from collections.abc import Sequence
from typing import TypedDict

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's eight colours, which colour-blind readers can tell apart; yellow, too pale for a
# line, comes last.
_BLACK, _ORANGE, _SKY, _GREEN, _YELLOW, _BLUE, _RED, _PINK = map(
    to_hex, matplotlib.color_sequences["okabe_ito"]
)
COLOURS = (_BLUE, _RED, _GREEN, _ORANGE, _PINK, _SKY, _BLACK, _YELLOW)
USUAL, UNUSUAL, REFERENCE, CHANCE = _BLUE, _RED, _BLACK, "#9a9a9a"
HEAT = "Blues"  # from light to dark, so a grey print keeps the order
MOST_NUMBERED = 16  # columns of a heat map, or bars, that still have room for a number each
_LINES = ("-", "--", "-.", ":")
_TINTS = (0.6, 0.82)  # how white a text background is; the second after eight experts


class LineStyle(TypedDict):
    """How a line looks; keyword arguments of matplotlib."""

    color: str
    linestyle: str


def line_colour(i: int) -> str:
    """The colour of the `i`-th line of a plot."""
    return COLOURS[i % (len(COLOURS) - 1)]


def line_style(i: int) -> LineStyle:
    """The colour and dashes of the `i`-th line of a plot; neither alone tells lines apart."""
    return {"color": line_colour(i), "linestyle": _LINES[i % len(_LINES)]}


def text_background(expert: int) -> str:
    """A tint of the expert's colour, as `#rrggbb`, on which black text is easy to read."""
    white = _TINTS[expert // len(COLOURS) % len(_TINTS)]
    colour = to_rgb(COLOURS[expert % len(COLOURS)])
    red, green, blue = (part + (1 - part) * white for part in colour)
    return to_hex((red, green, blue))


def figure_or_new(figure: Figure | None, width: float, height: float) -> Figure:
    """`figure`, or a new pyplot figure of this size in inches."""
    return plt.figure(figsize=(width, height), layout="constrained") if figure is None else figure


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 3.8) -> Axes:
    """`ax`, or the only axes of a new pyplot figure of this size in inches."""
    return figure_or_new(None, width, height).subplots() if ax is None else ax


def name_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """Sets the title and the labels of the axes, and removes the frame's top and right sides."""
    # With y given, the title is not placed again at each drawing, which is a fifth of its time.
    ax.set_title(title, loc="left", y=1.0, fontsize="medium", fontweight="bold", wrap=True)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)


def numbers(name: str, value: object, shape: str) -> np.ndarray:
    """`value` as float64, with one axis for each letter of `shape` (`"T K"`).

    Raises a ValueError that names the argument unless `value` is finite, not empty, and of that
    shape.
    """
    axes = shape.split()
    wanted = f"{name} must be numbers of shape ({', '.join(axes)}{',' * (len(axes) == 1)})"
    try:
        array = torch.as_tensor(value).detach().double().cpu().numpy()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{wanted}, got {type(value).__name__}") from None
    if array.ndim != len(axes) or not array.size:
        raise ValueError(f"{wanted} with at least one in each, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def choices(name: str, value: object, shape: str, num_experts: int) -> np.ndarray:
    """`value` as int64 expert numbers from 0 to `num_experts` - 1, shaped as in `numbers`.

    Raises a ValueError that names the argument unless it holds such numbers.
    """
    array = numbers(name, value, shape)
    wrong = (array < 0) | (array >= num_experts) | (array != array.round())
    if wrong.any():
        raise ValueError(
            f"{name} must hold whole numbers from 0 to num_experts - 1 = {num_experts - 1}, "
            f"got {array[wrong][0]:g}"
        )
    return array.astype(np.int64)


def validate_length(name: str, value: Sequence | np.ndarray, of: str, length: int) -> None:
    """Raises a ValueError that names the argument unless `value` has `length` entries."""
    if len(value) != length:
        raise ValueError(f"{name} must have one entry for each {of}, {length}, got {len(value)}")
