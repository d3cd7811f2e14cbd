"""What all pictures share: colours, new axes, names on them, and numbers read or refused.

A plot function draws on the `ax` or `figure` it is given, else on a new pyplot figure, and returns
nothing. Jupyter shows an open figure when its cell ends, so a cell stores one picture and one
comparable line, `<Figure size 640x380 with 1 Axes>`; in a script, call `plt.show()`.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's eight colours, which colour-blind readers tell apart; yellow, too pale for a
# line, comes last.
_BLACK, _ORANGE, _SKY, _GREEN, _YELLOW, _BLUE, _RED, _PINK = map(
    to_hex, matplotlib.color_sequences["okabe_ito"]
)
COLOURS = (_BLUE, _RED, _GREEN, _ORANGE, _PINK, _SKY, _BLACK, _YELLOW)
USUAL, UNUSUAL, REFERENCE, CHANCE = _BLUE, _RED, _BLACK, "#9a9a9a"
HEAT = "Blues"  # from light to dark, so a grey print keeps the order
MOST_NUMBERED = 16  # columns of a heat map, or bars, that still have room for a number each
_LINES = ("-", "--", "-.", ":")
_TINTS = (0.6, 0.82)  # how white a text background is; the next one after eight experts


def line_colour(i: int) -> str:
    """Colour of the `i`-th line of a plot."""
    return COLOURS[i % (len(COLOURS) - 1)]


def line_style(i: int) -> dict[str, str]:
    """Colour and dashes of the `i`-th line of a plot; neither alone tells lines apart."""
    return {"color": line_colour(i), "linestyle": _LINES[i % len(_LINES)]}


def text_background(expert: int) -> str:
    """A tint of the expert's colour, as `#rrggbb`, on which black text is easy to read."""
    rgb = np.array(to_rgb(COLOURS[expert % len(COLOURS)]))
    white = _TINTS[expert // len(COLOURS) % len(_TINTS)]
    return to_hex(rgb + (1 - rgb) * white)


def figure_or_new(figure: Figure | None, width: float, height: float) -> Figure:
    """`figure`, or a new pyplot figure of this size in inches."""
    return plt.figure(figsize=(width, height), layout="constrained") if figure is None else figure


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 3.8) -> Axes:
    """`ax`, or the only axes of a new pyplot figure of this size in inches."""
    return figure_or_new(None, width, height).subplots() if ax is None else ax


def name_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """Writes the title and what the axes show, and takes the frame's upper and right side away."""
    # A title with a height of its own is not moved at each drawing, which is a fifth of its time.
    ax.set_title(title, loc="left", y=1.0, fontsize="medium", fontweight="bold", wrap=True)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)


def numbers(name: str, value: object, shape: str) -> np.ndarray:
    """`value` as float64, with one axis for each letter of `shape` (`"T K"`).

    Raises a ValueError that names the argument if `value` is empty, not finite or misshapen.
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
    """`value` as int64 expert numbers from 0 to `num_experts` - 1, of the given shape."""
    array = numbers(name, value, shape)
    wrong = (array < 0) | (array >= num_experts) | (array != array.round())
    if wrong.any():
        raise ValueError(
            f"{name} must hold whole numbers from 0 to num_experts - 1 = {num_experts - 1}, "
            f"got {array[wrong][0]:g}"
        )
    return array.astype(np.int64)


def one_each(name: str, value: Sequence | np.ndarray, of: str, length: int) -> None:
    """Raises a ValueError unless `value` has one entry for each of `length` things."""
    if len(value) != length:
        raise ValueError(f"{name} must have one entry for each {of}, {length}, got {len(value)}")
