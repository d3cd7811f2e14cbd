"""What all pictures share: colours, new axes and their labels, and the validation of numbers.

A plot function draws on the `ax` or `figure` it is given, else on a new pyplot figure, and returns
nothing. Jupyter shows an open figure when its cell ends, so a cell stores one picture and one
comparable line, `<Figure size 640x380 with 1 Axes>`; in a script, call `plt.show()`.

Counting: layers are counted from 1, as texts about models do, so `blocks[0]` is "layer 1". Experts,
heads and segments go by their index in a tensor, from 0: "expert 0", "head 0".
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
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 3)), (0, (4, 1)))
_WANTED = {"MoE": 0, "bias": 0, "MLA": 0, "names": 0, "leak": 1, "colours": 1, "things": 2}
_WANTED |= dict.fromkeys(("none", "dense", "MHA", "coherent stories"), 6)
_places: dict[str, int] = {}  # of the names that were drawn so far
_TINTS = (0.6, 0.82)  # how white a text background is; the second after eight experts


class LineStyle(TypedDict):
    """How a line looks; keyword arguments of matplotlib."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]


def line_colour(i: int) -> str:
    """The colour of the `i`-th of many lines without names, such as the experts of a layer."""
    return COLOURS[i % (len(COLOURS) - 1)]


def name_style(name: str) -> LineStyle:
    """The colour and dashes of what is called `name`, the same in every plot of a process.

    The first use fixes them: what the course keeps for the name, else what no other name has.
    Neither colour nor dashes alone tell lines apart.
    """
    if name not in _places:
        taken = set(_places.values())
        kept = sorted({*_WANTED.values()})
        unkept = [i for i in range(len(COLOURS) - 1) if i not in kept]
        others = [*unkept, *kept, *range(len(COLOURS) - 1, len(COLOURS) + len(taken))]
        wanted = [_WANTED[name]] if name in _WANTED else []
        _places[name] = next(i for i in [*wanted, *others] if i not in taken)
    place = _places[name]
    dashes = _DASHES[(place + place // len(_DASHES)) % len(_DASHES)]
    return {"color": line_colour(place), "linestyle": dashes}


def name_marker(name: str) -> str:
    """The marker of what is called `name`, fixed as its `name_style` is."""
    name_style(name)
    return "osD^vPX"[_places[name] % 7]


def layer_name(index: int) -> str:
    """What `blocks[index]` is called: "layer 1" for the first."""
    return f"layer {index + 1}"


def plain(value: float) -> str:
    """Three digits or all before the point, with separators: `1,284`, `19.5`, `0.00312`."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return np.format_float_positional(float(f"{value:.3g}"), trim="-")


def visible(piece: str) -> str:
    """A token's text with `·` for a space, `↵` for a line's end and `⇥` for a tab."""
    return piece.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")


def key_to(pieces: Sequence[str]) -> str:
    """What the marks in visible `pieces` mean, as a second line of a label; else nothing."""
    meanings = {"·": "a space", "↵": "a line's end", "⇥": "a tab"}
    shown = [f"{m} is {what}" for m, what in meanings.items() if any(m in p for p in pieces)]
    return f"\n{', '.join(shown)}" if shown else ""


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


def legend_below(ax: Axes, columns: int = 2) -> None:
    """Puts the legend under a figure that has only `ax`, else under `ax`."""
    handles, labels = ax.get_legend_handles_labels()
    if ax.figure.axes == [ax] and ax.figure.get_layout_engine() is not None:
        ax.figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False,
            fontsize="small",
        )  # fmt: skip
    else:
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=columns, frameon=False,
            fontsize="small",
        )  # fmt: skip


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
