"""The curves of runs on stories, and bars of the memory that models occupy."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.palette import (
    COLOURS,
    REFERENCE,
    UNUSUAL,
    USUAL,
    axes_or_new,
    figure_or_new,
    legend_below,
    name_axes,
    numbers,
    plain,
    validate_length,
)
from helpers.training_loops.story_run import MEASURED, Point

TITLE_WIDTH = 18  # letters per line, above a panel
_HATCHES = ("", "//", "..", "\\\\", "xx")


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
    ax.plot(steps, told, color=COLOURS[2], marker="v", label="of a name told before")
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
        bars = ax.barh(list(models), values, color=USUAL)
        ax.bar_label(bars, [f" {plain(value)}" for value in values], fontsize="small")
        ax.margins(x=0.3)
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        name_axes(ax, fill(kind, TITLE_WIDTH), "MB", "")
    panels[0].invert_yaxis()
    figure.suptitle(title, fontweight="bold")


def plot_memory_stack(
    megabytes: Mapping[str, Mapping[str, float]], title: str, ax: Axes | None = None
) -> None:
    """Draws a bar for each model in which the kinds of its memory are stacked, with their sum.

    `megabytes[model]` names the same kinds for every model, in the order of the stack: weights,
    gradients, Adam's two moments, what is kept for the backward pass.
    """
    kinds = _same_kinds(megabytes)
    values = {
        model: numbers(f"megabytes[{model!r}]", [of[kind] for kind in kinds], "K")
        for model, of in megabytes.items()
    }
    for model, of_model in values.items():
        if (of_model < 0).any():
            raise ValueError(f"megabytes[{model!r}] must be 0 or more, got {of_model.min():g}")
    ax = axes_or_new(ax, 8.4, 1.9 + 0.5 * len(megabytes))
    widths = np.stack(list(values.values()))
    starts = widths.cumsum(1) - widths
    for i, kind in enumerate(kinds):
        bars = ax.barh(
            list(values), widths[:, i], left=starts[:, i], label=kind, edgecolor="white",
            color=COLOURS[i % len(COLOURS)], hatch=_HATCHES[i % len(_HATCHES)], height=0.6,
        )  # fmt: skip
    ax.bar_label(bars, [f" {plain(total)} MB" for total in widths.sum(1)])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:,g}")
    name_axes(ax, title, "MB", "")
    legend_below(ax)


def _same_kinds(megabytes: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not megabytes or not all(megabytes.values()):
        raise ValueError("megabytes must name at least one model, and each at least one kind")
    first, *others = megabytes
    for model in others:
        if megabytes[model].keys() != megabytes[first].keys():
            raise ValueError(
                f"megabytes[{model!r}] must name the same kinds as {first!r}, "
                f"{list(megabytes[first])}, got {list(megabytes[model])}"
            )
    return list(megabytes[first])
