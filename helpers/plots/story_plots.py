"""The curves of a run on stories, and bars of the memory that models occupy."""

from collections.abc import Mapping, Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.palette import (
    REFERENCE,
    UNUSUAL,
    USUAL,
    axes_or_new,
    figure_or_new,
    line_colour,
    name_axes,
    numbers,
    validate_length,
)
from helpers.training_loops.story_run import MEASURED, Point

TITLE_WIDTH = 18  # letters per line, above a panel


def plot_story_curves(
    losses: Sequence[float],
    points: Sequence[Point],
    bigram: float,
    title: str,
    ax: Axes | None = None,
) -> None:
    """Draws the loss of each batch, two held-out losses, and the coherence of sampled stories.

    `bigram` is the loss of a table of token pairs, drawn as the level to beat.
    """
    curve = numbers("losses", losses, "S")
    if not points:
        raise ValueError("points must hold at least one measured point, got none")
    ax = axes_or_new(ax, 7.2, 3.8)
    steps = [point.step for point in points]
    ax.plot(curve, color=USUAL, alpha=0.3, linewidth=0.8, label="loss of a batch")
    ax.plot(steps, [p.loss for p in points], color=USUAL, marker="o", label="held-out loss")
    told = [p.told for p in points]
    ax.plot(steps, told, color=line_colour(2), marker="v", label="of a name told before")
    ax.axhline(bigram, color=REFERENCE, linestyle="--", linewidth=1, label="of a table of pairs")
    name_axes(ax, title, "training step", "loss, nats per token")
    ax.set_ylim(0, min(max(curve), 7.5))
    right = ax.twinx()
    right.plot(
        steps, [p.coherent for p in points], color=UNUSUAL, linestyle="--", marker="s",
        label=f"coherent, of {MEASURED} stories",
    )  # fmt: skip
    right.set_ylim(0, 1.05)
    right.set_ylabel("share of coherent stories")
    right.spines["top"].set_visible(False)
    handles = [line for axes in (ax, right) for line in axes.get_legend_handles_labels()[0]]
    ax.legend(handles, [str(h.get_label()) for h in handles], loc="center right", frameon=False)


def plot_memory(
    megabytes: Mapping[str, Sequence[float]],
    models: Sequence[str],
    title: str,
    figure: Figure | None = None,
) -> None:
    """Draws a panel per kind of memory, with a bar for each of `models` in megabytes."""
    for kind, values in megabytes.items():
        numbers(f"megabytes[{kind!r}]", values, "M")
        validate_length(f"megabytes[{kind!r}]", values, "model", len(models))
    figure = figure_or_new(figure, 9.4, 1.5 + 0.3 * len(models))
    panels = figure.subplots(1, len(megabytes), sharey=True, squeeze=False)[0]
    for ax, (kind, values) in zip(panels, megabytes.items(), strict=True):
        colours = [line_colour(i) for i in range(len(models))]
        bars = ax.barh(list(models), values, color=colours)
        ax.bar_label(bars, [f" {value:.3g}" for value in values], fontsize="small")
        ax.margins(x=0.3)
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        name_axes(ax, fill(kind, TITLE_WIDTH), "MB", "")
    panels[0].invert_yaxis()
    figure.suptitle(title, fontweight="bold")
