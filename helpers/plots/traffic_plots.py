"""Heat maps of expert traffic: which token went where, and which part of the text.

Letters: T tokens, K = top_k, E experts, R rows (domains, segments or layers).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from helpers.plots.palette import (
    HEAT,
    MOST_NUMBERED,
    axes_or_new,
    choices,
    figure_or_new,
    key_to,
    name_axes,
    numbers,
    validate_length,
    visible,
)

MOST_TOKENS = 32
WIDEST = 11.0  # inches, beyond which a notebook shrinks a picture


def plot_token_experts(
    pieces: Sequence[str],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    num_experts: int,
    title: str,
    ax: Axes | None = None,
) -> None:
    """Draws a row per token with the gate weights in the columns of its experts.

    `pieces` are the tokens' texts, at most 32; the label explains what marks a space.
    """
    weights = _gate_matrix(gates, experts, num_experts)
    validate_length("pieces", pieces, "row of gates", len(weights))
    if len(pieces) > MOST_TOKENS:
        raise ValueError(f"pieces must be at most {MOST_TOKENS} to be read, got {len(pieces)}")
    size = (4 + 0.42 * min(num_experts, MOST_NUMBERED), 1.2 + 0.27 * len(pieces))
    ax = axes_or_new(ax, *size)
    shown = [visible(piece) for piece in pieces]
    image = _heat(ax, weights, shown, top=1.0)
    ax.figure.colorbar(image, ax=ax, label="gate weight")
    name_axes(ax, title, f"expert{key_to(shown)}", "token")


def plot_domain_traffic(
    shares: Float[Tensor, "R E"] | Int[Tensor, "R E"],
    domains: Sequence[str],
    title: str,
    row_axis: str = "domain",
    ax: Axes | None = None,
    top: float | None = None,
) -> None:
    """Draws each row's load relative to its even share: 1.0 is balanced, 0 an unused expert.

    Each row is divided by its own mean, so counts work as well as shares. Rows may be domains,
    segments or layers; `row_axis` names them. `top` is the load that is drawn darkest, by default
    the largest and at least 2.
    """
    relative = _relative("shares", shares, domains)
    size = (4.4 + 0.42 * min(relative.shape[1], MOST_NUMBERED), 1.6 + 0.38 * len(domains))
    ax = axes_or_new(ax, *size)
    image = _heat(ax, relative, list(domains), _darkest([relative]) if top is None else top)
    _draw_scale(image, [ax])
    name_axes(ax, title, "expert", row_axis)


def plot_traffic_maps(
    maps: Mapping[str, Float[Tensor, "R E"] | Int[Tensor, "R E"]],
    rows: Sequence[str],
    title: str,
    row_axis: str = "domain",
    figure: Figure | None = None,
) -> None:
    """Draws several maps as `plot_domain_traffic` does, with one scale for all.

    They stand side by side where that is narrow enough to be read, else one above the other.
    So a trained model stands beside its controls: the untrained model, domains that are shuffled.
    """
    if not maps:
        raise ValueError("maps must name at least one map, got none")
    relative = {name: _relative(f"maps[{name!r}]", x, rows) for name, x in maps.items()}
    widest = max(x.shape[1] for x in relative.values())
    wide, high = max(2.3, 0.36 * min(widest, MOST_NUMBERED)), 0.36 * len(rows)
    beside = 2.2 + wide * len(maps) <= WIDEST
    shape = (1, len(maps)) if beside else (len(maps), 1)
    size = 2.2 + wide * shape[1], 0.7 + (high + (1.2 if beside else 0.7)) * shape[0]
    figure = figure_or_new(figure, *size)
    panels = figure.subplots(*shape, sharex=not beside, sharey=True, squeeze=False).flatten()
    top = _darkest(list(relative.values()))
    for ax, (name, values) in zip(panels, relative.items(), strict=True):
        image = _heat(ax, values, list(rows), top)
        below = beside or ax is panels[-1]
        name_axes(ax, name, "expert" if below else "", row_axis if ax is panels[0] else "")
    _draw_scale(image, list(panels))
    figure.suptitle(title, fontweight="bold")


def _darkest(maps: list[np.ndarray]) -> float:
    return max(2.0, *(float(values.max()) for values in maps))


def _draw_scale(image: AxesImage, panels: list[Axes]) -> None:
    bar = panels[0].figure.colorbar(image, ax=panels, label="load ÷ even share")
    bar.ax.axhline(1.0, color="black", linestyle="--")


def _relative(name: str, value: object, rows: Sequence[str]) -> np.ndarray:
    load = numbers(name, value, "R E")
    validate_length("domains" if name == "shares" else "rows", rows, f"row of {name}", len(load))
    empty = (load < 0).any(1) | (load.sum(1) == 0)
    if empty.any():
        raise ValueError(
            f"{name} must be 0 or more, with some traffic in every row, "
            f"and row {empty.argmax()} is not"
        )
    return load / load.mean(1, keepdims=True)


def _gate_matrix(gates: object, experts: object, num_experts: int) -> np.ndarray:
    weights = numbers("gates", gates, "T K")
    chosen = choices("experts", experts, "T K", num_experts)
    if weights.shape != chosen.shape:
        raise ValueError(
            f"gates and experts must have the same shape, got {weights.shape} and {chosen.shape}"
        )
    matrix = np.full((len(weights), num_experts), np.nan)  # NaN: not chosen, drawn blank
    np.put_along_axis(matrix, chosen, weights, axis=1)
    return matrix


def _heat(ax: Axes, values: np.ndarray, rows: list[str], top: float) -> AxesImage:
    image = ax.imshow(values, cmap=HEAT, vmin=0, vmax=top, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(rows)), rows, parse_math=False)
    if values.shape[1] > MOST_NUMBERED:
        return image
    ax.set_xticks(range(values.shape[1]))
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = "white" if value > 0.6 * top else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=dark, fontsize=8)
    return image
