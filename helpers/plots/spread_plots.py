"""What several seeds of each variant came to: on one axis, against balance, and against costs.

A seed that was trained before and stored is a filled dot, one that was trained here an open
diamond, which hides no dot. Means and noise are those of the stored seeds, which a reader's own run
does not move.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from helpers.plots.curve_plots import Curve
from helpers.plots.palette import (
    CHANCE,
    USUAL,
    axes_or_new,
    figure_or_new,
    legend_below,
    name_axes,
    name_marker,
    name_style,
    numbers,
    plain,
    validate_length,
)

Seeds = float | Curve  # one number, or one per seed
Pair = Sequence[float]  # CV and loss
STORED, LIVE, MEAN = "a stored seed", "the seed run here", "mean of the stored seeds"
_OFFSETS = ((5, -13), (5, 5), (-28, -13))  # points, of a setting's label, one for each way
_TITLE_WIDTH = 20  # letters per line, above a panel


def plot_spread(
    stored: Mapping[str, Seeds],
    title: str,
    unit: str,
    *,
    live: Mapping[str, Seeds] | None = None,
    noise_of: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Draws a row for each variant: a dot for each seed and a bar mark at the mean.

    `unit` names the axis. `noise_of` shades that variant's mean ± 2 standard deviations: what
    another seed alone may change.
    """
    kept, here = _seeds("stored", stored), _seeds("live", live or {})
    names = list(dict.fromkeys([*kept, *here]))
    if not names:
        raise ValueError("stored must name at least one variant, got none")
    band = None if noise_of is None else _noise(noise_of, kept)
    ax = axes_or_new(ax, 7.2, 1.8 + 0.36 * len(names))
    if band is not None:
        label = f"“{noise_of}”, ±2 standard deviations"
        ax.axvspan(*band, color=CHANCE, alpha=0.3, lw=0, label=label)
    digits = _digits([*kept.values(), *here.values()])
    for row, name in enumerate(names):
        _draw_seeds(ax, row, kept.get(name), here.get(name), digits)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    name_axes(ax, title, unit, "")
    legend_below(ax)


def plot_frontier(
    sweeps: Mapping[str, Mapping[str, Sequence[Pair]]],
    title: str,
    *,
    live: Mapping[str, Pair] | None = None,
    noise: float | None = None,
    x: str = "CV of the load",
    y: str = "held-out loss, nats per token",
    ax: Axes | None = None,
) -> None:
    """Draws loss against balance: `sweeps[way][setting]` holds a pair (CV, loss) for each seed.

    The means of a way's settings are joined in their order and labelled. `noise` is the standard
    deviation of the loss between seeds, drawn as a band of ± that around the lowest mean; a pair
    of `live` is of the seed run here.
    """
    points = _points(sweeps)
    run_here = {k: numbers(f"live[{k!r}]", pair, "P") for k, pair in (live or {}).items()}
    for name, pair in run_here.items():
        validate_length(f"live[{name!r}]", pair, "axis", 2)
    if noise is not None and not noise >= 0:
        raise ValueError(f"noise must be a standard deviation of 0 or more, got {noise}")
    ax = axes_or_new(ax, 7.2, 4.2)
    means = {way: np.stack([p.mean(0) for p in of.values()]) for way, of in points.items()}
    if noise is not None:
        best = min(m[:, 1].min() for m in means.values())
        label = f"best mean ±{plain(noise)}, a seed's deviation"
        ax.axhspan(best - noise, best + noise, color=CHANCE, alpha=0.25, lw=0, label=label)
    for i, (way, settings) in enumerate(points.items()):
        style, marker = name_style(way), name_marker(way)
        every = np.concatenate(list(settings.values()))
        colour = style["color"]
        ax.plot(*every.T, ls="", marker=marker, color=colour, alpha=0.35, markersize=4)
        ax.plot(*means[way].T, **style, marker=marker, label=f"{way}, mean of its seeds")
        for setting, mean in zip(settings, means[way], strict=True):
            text = ax.annotate(
                setting, mean, _OFFSETS[i % len(_OFFSETS)], textcoords="offset points",
                fontsize="small", color=colour, zorder=4,
            )  # fmt: skip
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    for way, pair in run_here.items():
        _draw_live(ax, pair[0], pair[1], name_style(way)["color"])
    name_axes(ax, title, x, y)
    ax.margins(0.1)
    legend_below(ax)


def plot_costs(
    costs: Mapping[str, Mapping[str, Seeds]],
    title: str,
    *,
    live: Mapping[str, Mapping[str, float]] | None = None,
    figure: Figure | None = None,
) -> None:
    """Draws a panel for each cost with a row for each model, the same models in all panels.

    A cost that is one number per model is a bar from 0. One that is a list, of a number per seed,
    is drawn as `plot_spread` does, on an axis that need not begin at 0. `live[cost][model]` is of
    the seed run here.
    """
    models = _same_models(costs)
    here = {cost: _seeds(f"live[{cost!r}]", of) for cost, of in (live or {}).items()}
    for cost in here.keys() - costs.keys():
        raise ValueError(f"live must name costs of {list(costs)}, got {cost!r}")
    for cost, of in here.items():
        for model in of.keys() - set(models):
            raise ValueError(f"live[{cost!r}] must name models of {models}, got {model!r}")
    values = {cost: _seeds(f"costs[{cost!r}]", of) for cost, of in costs.items()}
    figure = figure_or_new(figure, 1.6 + 2.3 * len(costs), 1.7 + 0.36 * len(models))
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for ax, (cost, of) in zip(panels, values.items(), strict=True):
        by_seed = any(np.ndim(value) for value in costs[cost].values()) or cost in here
        digits = _digits(list(of.values()))
        for row, model in enumerate(models):
            if by_seed:
                _draw_seeds(ax, row, of[model], here.get(cost, {}).get(model), digits)
            else:
                (width,) = of[model]
                bar = ax.barh(row, width, color=USUAL, height=0.6)
                ax.bar_label(bar, [f" {plain(width)}"], fontsize="small")
        ax.margins(x=0.1 if by_seed else 0.35)
        ax.locator_params(axis="x", nbins=4)
        ax.xaxis.set_major_formatter("{x:,.4g}")
        head, _, unit = cost.rpartition(", ")
        name_axes(ax, fill(head or unit, _TITLE_WIDTH), unit if head else "", "")
        if not by_seed:
            ax.set_xlim(left=0)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].set_ylim(len(models) - 0.4, -0.6)
    figure.suptitle(title, fontweight="bold")
    shown = {
        label: handle
        for ax in panels
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if shown:
        figure.legend(
            shown.values(), shown, loc="outside lower center", ncols=3, frameon=False,
            fontsize="small",
        )  # fmt: skip


def _draw_seeds(
    ax: Axes, row: int, stored: np.ndarray | None, live: np.ndarray | None, digits: int
) -> None:
    """A row of dots on diamonds with their mean, each kind labelled once per axes."""
    labelled = ax.get_legend_handles_labels()[1]

    def once(label: str) -> str:
        return "_" if label in labelled else label

    if live is not None:
        for i, value in enumerate(live):
            _draw_live(ax, value, float(row), USUAL, once(LIVE) if i == 0 else "_")
    if stored is None:
        return
    rows, mean = np.full(len(stored), row), stored.mean()
    ax.plot(stored, rows, "o", color=USUAL, alpha=0.6, markersize=5, zorder=4, label=once(STORED))
    ax.plot([mean] * 2, [row - 0.27, row + 0.27], color="black", linewidth=2, label=once(MEAN))
    ax.annotate(
        f"{mean:,.{digits}f}", (mean, row - 0.27), (0, 1), textcoords="offset points",
        ha="center", va="bottom", fontsize="x-small",
    )  # fmt: skip


def _digits(values: list[np.ndarray]) -> int:
    """Digits after the point that tell means apart which differ by a tenth of the range."""
    every = np.concatenate(values)
    extent = np.ptp(every) or abs(every[0]) or 1.0
    return int(np.clip(1 - np.floor(np.log10(extent)), 0, 5))


def _draw_live(ax: Axes, x: float, y: float, colour: str, label: str | None = None) -> None:
    if label is None:
        label = "_" if LIVE in ax.get_legend_handles_labels()[1] else LIVE
    ax.plot(
        [x], [y], "D", markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.8,
        markersize=8, label=label, zorder=3,
    )  # fmt: skip


def _seeds(name: str, values: Mapping[str, Seeds]) -> dict[str, np.ndarray]:
    """Each entry as an array of one number per seed."""
    return {
        key: numbers(f"{name}[{key!r}]", value if np.ndim(value) else [value], "S")
        for key, value in values.items()
    }


def _noise(name: str, stored: dict[str, np.ndarray]) -> tuple[float, float]:
    seeds = stored.get(name, np.empty(0))
    if len(seeds) < 2:
        raise ValueError(f"noise_of must name a variant of two stored seeds or more, got {name!r}")
    mean, deviation = seeds.mean(), seeds.std(ddof=1)
    return mean - 2 * deviation, mean + 2 * deviation


def _points(
    sweeps: Mapping[str, Mapping[str, object]],
) -> dict[str, dict[str, np.ndarray]]:
    if not sweeps or not all(sweeps.values()):
        raise ValueError("sweeps must name at least one way, and each at least one setting")
    points = {
        way: {
            setting: numbers(f"sweeps[{way!r}][{setting!r}]", pairs, "S P")
            for setting, pairs in settings.items()
        }
        for way, settings in sweeps.items()
    }
    for way, settings in points.items():
        for setting, pairs in settings.items():
            validate_length(f"a seed of sweeps[{way!r}][{setting!r}]", pairs[0], "axis", 2)
    return points


def _same_models(costs: Mapping[str, Mapping[str, Seeds]]) -> list[str]:
    if not costs or not all(costs.values()):
        raise ValueError("costs must name at least one cost, and each at least one model")
    first, *others = costs
    for cost in others:
        if costs[cost].keys() != costs[first].keys():
            raise ValueError(
                f"costs[{cost!r}] must name the same models as {first!r}, "
                f"{list(costs[first])}, got {list(costs[cost])}"
            )
    return list(costs[first])
