"""Bars of tokens per expert, beside the even share and what pure chance would give.

Letters: E = num_experts, K = top_k, T = tokens.
"""

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from helpers.measuring.random_routing import chance_band, chance_cv
from helpers.plots.palette import (
    CHANCE,
    REFERENCE,
    UNUSUAL,
    USUAL,
    axes_or_new,
    figure_or_new,
    name_axes,
    numbers,
)


def plot_load(
    load: Int[Tensor, " E"], top_k: int, tokens: int, title: str, ax: Axes | None = None
) -> None:
    """Draws the load of `tokens` tokens; hatched bars lie outside the band of pure chance."""
    counts = _counts("load", load, top_k, tokens)
    ax = axes_or_new(ax)
    _draw_bars(ax, counts, top_k, tokens)
    name_axes(ax, title, "expert", "tokens")
    below = 0.5, -0.16
    ax.legend(loc="upper center", bbox_to_anchor=below, frameon=False, ncols=2, fontsize="small")


def plot_load_before_after(
    loads: dict[str, Int[Tensor, " E"]],
    top_k: int,
    tokens: int,
    title: str,
    figure: Figure | None = None,
) -> None:
    """Draws two or more named loads of `tokens` tokens each, side by side on one scale."""
    if len(loads) < 2:
        raise ValueError(
            f"loads must name at least two loads to set side by side, got {len(loads)}"
        )
    counts = {name: _counts(f"loads[{name!r}]", x, top_k, tokens) for name, x in loads.items()}
    figure = figure_or_new(figure, 3.2 + 2.4 * len(loads), 3.6)
    panels = figure.subplots(1, len(loads), sharey=True)
    for ax, (name, load) in zip(panels, counts.items(), strict=True):
        _draw_bars(ax, load, top_k, tokens)
        name_axes(ax, name, "expert", "tokens" if ax is panels[0] else "")
    panels[0].set_ylim(0, 1.2 * max(_top(load, top_k, tokens) for load in counts.values()))
    figure.suptitle(title, fontweight="bold")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False)


def _draw_bars(ax: Axes, load: np.ndarray, top_k: int, tokens: int) -> None:
    low, high = chance_band(len(load), top_k, tokens)
    ax.axhspan(
        low, high, color=CHANCE, alpha=0.35, lw=0, label="pure chance ±2σ (hatched: outside)"
    )
    even = top_k * tokens / len(load)
    ax.axhline(even, color=REFERENCE, linestyle="--", label=f"even share, {even:,.0f}")
    bars = ax.bar(range(len(load)), load, color=USUAL, edgecolor="white", zorder=0)
    for bar, count in zip(bars, load, strict=True):
        if not low <= count <= high:
            bar.set(facecolor=UNUSUAL, hatch="//")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_ylim(0, 1.2 * _top(load, top_k, tokens))
    floor = chance_cv(len(load), top_k, tokens)
    note = f"CV {load.std() / load.mean():.2f} (pure chance {floor:.2f})"
    ax.text(0.99, 0.98, note, transform=ax.transAxes, ha="right", va="top", fontsize="small")


def _top(load: np.ndarray, top_k: int, tokens: int) -> float:
    return max(load.max(), chance_band(len(load), top_k, tokens)[1])


def _counts(name: str, load: object, top_k: int, tokens: int) -> np.ndarray:
    counts = numbers(name, load, "E")
    chance_band(len(counts), top_k, tokens)  # raises for an impossible top_k or tokens
    if (counts < 0).any() or not 0 < counts.sum() <= top_k * tokens:
        raise ValueError(
            f"{name} must hold from 1 to top_k * tokens = {top_k * tokens} choices, "
            f"none below 0, got {counts.sum():g} in all and {counts.min():g} at least"
        )
    return counts
