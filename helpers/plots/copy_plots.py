"""What a story model copies right, by sort of word, over its training."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.palette import figure_or_new, name_axes, name_marker, name_style

Moments = Sequence[Mapping[str, Any]]  # each with its "step", "copies" by sort, and "coherent"


def plot_right_copies(
    live: Moments,
    title: str,
    *,
    stored: Sequence[Moments] = (),
    guessed: Mapping[str, float] | None = None,
    figure: Figure | None = None,
) -> None:
    """Draws the share of right copies of each sort of word, and below it that of coherent stories.

    `live` is the run made here, bold; `stored` are those of other seeds, thin. `guessed` is what a
    guess among the story's own words would get right, dotted. A moment before the first step has
    no "coherent".
    """
    if not live:
        raise ValueError("live must hold at least one moment, got none")
    figure = figure_or_new(figure, 7.2, 5.2)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, 1.0])
    for sort in live[0]["copies"]:
        style = name_style(sort)
        for moments in stored:
            top.plot(*_curve(moments, sort), color=style["color"], linewidth=0.8, alpha=0.45)
        top.plot(*_curve(live, sort), **style, marker=name_marker(sort), markersize=4, label=sort)
        if guessed is not None:
            top.axhline(guessed[sort], color=style["color"], linestyle=(0, (1, 4)), linewidth=1)
    name_axes(top, title, "", "share of copies\nthat are right")
    top.set_ylim(0, 1.05)
    _draw_coherent(below, live, stored)
    figure.legend(
        *top.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False,
        title="bold: run here; thin: stored seeds" if stored else None, fontsize="small",
    )  # fmt: skip


def _curve(moments: Moments, sort: str) -> tuple[list[int], list[float]]:
    return [m["step"] for m in moments], [m["copies"][sort] for m in moments]


def _draw_coherent(ax: Axes, live: Moments, stored: Sequence[Moments]) -> None:
    style = name_style("coherent stories")
    for moments, width in [*((of, 0.8) for of in stored), (live, 1.8)]:
        seen = [m for m in moments if "coherent" in m]
        ax.plot(
            [m["step"] for m in seen], [m["coherent"] for m in seen],
            color=style["color"], linewidth=width, alpha=0.45 if width < 1 else 1,
        )  # fmt: skip
    ax.set_ylim(0, 1.05)
    name_axes(ax, "", "training step", "share of stories\nthat are coherent")
