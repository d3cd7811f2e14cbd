"""What a smaller cache costs: held-out loss over the bytes that a token keeps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from helpers.plots.palette import (
    axes_or_new,
    legend_below,
    name_axes,
    name_marker,
    name_style,
    numbers,
)

Setting = tuple[int, Sequence[float]]  # bytes per token and layer, and a loss per seed


def plot_loss_over_cache(
    families: Mapping[str, Mapping[str, Setting]],
    title: str,
    live: Mapping[str, Setting] | None = None,
    ax: Axes | None = None,
) -> None:
    """Draws each family's losses over its caches: a dot per seed, a line through the means.

    `live` holds, by family, the seeds that were trained here, as open diamonds. The names of the
    first family's settings stand above their means, those of the others below.
    """
    if not families:
        raise ValueError("families must name at least one family, got none")
    ax = axes_or_new(ax, 7.2, 4.4)
    ticks: set[int] = set()
    for place, (family, settings) in enumerate(families.items()):
        style, marker = name_style(family), name_marker(family)
        colour, side = style["color"], 1 if place == 0 else -1
        means = []
        for name, (size, losses) in settings.items():
            values = numbers(f"families[{family!r}][{name!r}]", losses, "S")
            _draw_dots(ax, size, values, marker, colour)
            means.append((size, values.mean()))
            label = ax.annotate(
                name, means[-1], (0, 16 * side), textcoords="offset points", fontsize="small",
                color=colour, ha="center", va="center", zorder=4,
            )  # fmt: skip
            label.set_path_effects([withStroke(linewidth=3, foreground="white")])
            ticks.add(size)
        ax.plot(*zip(*means, strict=True), **style, label=f"{family}, mean of the stored seeds")
        if live and family in live:
            size, losses = live[family]
            ax.plot(
                [size] * len(losses), losses, ls="", marker="D", mfc="white", mec=colour,
                zorder=3, label=f"{family}, run here",
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(sorted(ticks), [f"{size:,}" for size in sorted(ticks)])
    ax.set_xticks([], minor=True)
    ax.margins(0.14)
    name_axes(ax, title, "cache, bytes per token and layer", "held-out loss, nats per token")
    legend_below(ax)


def _draw_dots(ax: Axes, size: int, values: np.ndarray, marker: str, colour: str) -> None:
    where = [size] * len(values)
    ax.plot(where, values, ls="", marker=marker, color=colour, alpha=0.45, markersize=5)
