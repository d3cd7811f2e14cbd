"""Curves over training, and comparisons of times.

Letters: S steps, E experts. A curve may be a list of floats, an array or a tensor with one axis.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor

from helpers.plots.palette import (
    CHANCE,
    REFERENCE,
    USUAL,
    axes_or_new,
    figure_or_new,
    line_colour,
    name_axes,
    name_marker,
    name_style,
    numbers,
    plain,
    validate_length,
)

LAST = 10  # steps over which the loss at the end of a run is averaged

Curve = Sequence[float] | np.ndarray | Tensor


def plot_losses(
    losses: dict[str, Curve], title: str, smooth: int = 9, ax: Axes | None = None
) -> None:
    """Draws each run's loss per step, faint, and its centred mean over `smooth` steps.

    The legend gives each run's mean over its last 10 steps.
    """
    curves = _curves("losses", losses)
    ax = _draw_smoothed(curves, smooth, ax, ".2f")
    name_axes(ax, title, "training step", "loss, nats per token")
    ax.legend(frameon=False)


def plot_differences(
    losses: dict[str, Curve],
    baseline: str,
    title: str,
    smooth: int = 25,
    ax: Axes | None = None,
) -> None:
    """Draws each run's loss minus that of `baseline` at the same step, as `plot_losses` does.

    Below the line at 0 a run is better than `baseline`. Runs that saw the same batches differ by
    far less than a batch from the next, so what they differ in is visible here.
    """
    curves = _curves("losses", losses)
    if baseline not in curves:
        raise ValueError(f"losses must have the baseline {baseline!r}, got {sorted(curves)}")
    base = curves.pop(baseline)
    if not curves:
        raise ValueError(f"losses must have a run beside the baseline {baseline!r}, got none")
    for name, curve in curves.items():
        validate_length(f"losses[{name!r}]", curve, f"step of {baseline!r}", len(base))
    differences = {name: curve - base for name, curve in curves.items()}
    ax = _draw_smoothed(differences, smooth, ax, "+.3f")
    ax.axhline(0, color=REFERENCE, linewidth=1, label=baseline)
    middle = np.concatenate([x[len(x) // 10 :] for x in differences.values()])
    low, high = np.quantile(middle, [0.01, 0.99])
    room = 0.4 * max(high - low, 1e-3)
    ax.set_ylim(min(low, 0) - room, max(high, 0) + room)
    name_axes(ax, title, "training step", f"loss minus that of “{baseline}”, nats")
    ax.legend(frameon=False, fontsize="small")


def _draw_smoothed(
    curves: dict[str, np.ndarray], smooth: int, ax: Axes | None, digits: str
) -> Axes:
    if smooth < 1:
        raise ValueError(f"smooth must be at least 1 step, got {smooth}")
    ax = axes_or_new(ax)
    for name, curve in curves.items():
        end = curve[-LAST:]
        label = f"{name}, last {len(end)} steps: {end.mean():{digits}}"
        ax.plot(curve, color=name_style(name)["color"], alpha=0.2, linewidth=0.8)
        ax.plot(*_centred_mean(curve, smooth), **name_style(name), label=label)
    return ax


def plot_balance(
    history: dict[str, dict[str, Curve]],
    floor: float,
    title: str,
    figure: Figure | None = None,
    max_violation_floor: float | None = None,
) -> None:
    """Draws each run's `"cv"` and `"max_violation"` over training, two panels side by side.

    `floor` and `max_violation_floor` are what pure chance yields with the tokens of one
    measurement: `chance_cv` and `chance_max_violation`.
    """
    _validate_floor("floor", floor, "CV")
    if max_violation_floor is not None:
        _validate_floor("max_violation_floor", max_violation_floor, "MaxVio")
    panels = {
        "cv": ("CV of the load", "CV", floor),
        "max_violation": (
            "MaxVio: busiest expert over the mean, minus 1", "MaxVio", max_violation_floor,
        ),
    }  # fmt: skip
    curves = {key: _measured(history, key) for key in panels}
    figure = figure_or_new(figure, 9.0, 3.8)
    axes = figure.subplots(1, 2)
    for ax, (key, (label, short, chance)) in zip(axes, panels.items(), strict=True):
        _draw_log(ax, curves[key])
        name_axes(ax, label, "training step", short)
        if chance is not None:
            ax.axhline(chance, color=CHANCE, linewidth=4, alpha=0.6, zorder=1)
            note = f"pure chance, {chance:.2g}"
            ax.annotate(
                note, (0.99, chance), (0, -4), ax.get_yaxis_transform(),
                textcoords="offset points", ha="right", va="top", fontsize="small",
            )  # fmt: skip
            low, high = ax.get_ylim()
            ax.set_ylim(min(low, chance / 1.5), high)
    figure.suptitle(title, fontweight="bold")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)


def _validate_floor(name: str, floor: float, of: str) -> None:
    if not floor >= 0:
        raise ValueError(f"{name} must be a {of} of 0 or more, got {floor}")


def plot_bias_paths(
    paths: Float[Tensor, "S E"], title: str, frozen_from: int | None = None, ax: Axes | None = None
) -> None:
    """Draws each expert's bias over training, minus the mean of all, which changes no choice.

    Steps from `frozen_from` on, where the step of the update is annealed to zero, are shaded.
    """
    bias = numbers("paths", paths, "S E")
    if frozen_from is not None and not 0 <= frozen_from < len(bias):
        raise ValueError(f"frozen_from must be a step from 0 to {len(bias) - 1}, got {frozen_from}")
    bias = bias - bias.mean(1, keepdims=True)
    ax = axes_or_new(ax)
    # One collection draws several times faster than one line per expert.
    lines = [np.column_stack([np.arange(len(bias)), path]) for path in bias.T]
    colours = [line_colour(expert) for expert in range(len(lines))]
    ax.add_collection(LineCollection(lines, colors=colours, linewidths=1), autolim=True)
    ax.autoscale_view()
    for expert in sorted({bias[-1].argmax(), bias[-1].argmin()}):
        where = (len(bias) - 1, bias[-1, expert])
        ax.annotate(f" expert {expert}", where, va="center", fontsize="small")
    if frozen_from is not None:
        ax.axvspan(
            frozen_from,
            len(bias) - 1,
            color=CHANCE,
            alpha=0.25,
            lw=0,
            label="step annealed to zero",
        )
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    name_axes(ax, title, "training step", "bias − mean bias, affinity")


def plot_times(
    times: Mapping[str, float | Curve],
    title: str,
    sizes: Sequence[int] | None = None,
    size_axis: str = "tokens in the batch",
    ax: Axes | None = None,
) -> None:
    """Draws milliseconds: a bar per name or, with `sizes`, a curve per name over the sizes.

    With `sizes` each entry of `times` has one time per size, and both axes are logarithmic.
    """
    if sizes is None:
        _draw_time_bars(times, title, axes_or_new(ax, 6.4, 1.3 + 0.45 * len(times)))
        return
    curves = _curves("times", times)
    for name, curve in curves.items():
        validate_length(f"times[{name!r}]", curve, "size", len(sizes))
    ax = axes_or_new(ax)
    for name, curve in curves.items():
        marker = name_marker(name)
        ax.plot(sizes, _positive(name, curve), **name_style(name), marker=marker, label=name)
    name_axes(ax, title, size_axis, "milliseconds")
    _plain_log(ax, "xy")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False)


def _draw_time_bars(times: Mapping[str, float | Curve], title: str, ax: Axes) -> None:
    values = _positive("times", numbers("times", list(times.values()), "N"))
    bars = ax.barh(list(times), values, color=USUAL)
    ax.bar_label(bars, [f" {plain(value)} ms" for value in values])
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.xaxis.set_major_formatter("{x:,g}")
    name_axes(ax, title, "milliseconds", "")


def _draw_log(ax: Axes, curves: dict[str, np.ndarray]) -> None:
    for name, curve in curves.items():
        ax.plot(curve, **name_style(name), label=name)
    _plain_log(ax, "y")


def _plain_log(ax: Axes, which: str) -> None:
    """Makes the axes logarithmic, with 0.1, 0.2, 0.5, 1, 2, … in place of powers of ten."""
    for letter in which:
        ax.set(**{f"{letter}scale": "log"})
        axis = getattr(ax, f"{letter}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(NullFormatter())


def _curves(name: str, curves: Mapping[str, float | Curve]) -> dict[str, np.ndarray]:
    if not curves:
        raise ValueError(f"{name} must name at least one curve, got none")
    return {key: numbers(f"{name}[{key!r}]", curve, "S") for key, curve in curves.items()}


def _measured(history: dict[str, dict[str, Curve]], key: str) -> dict[str, np.ndarray]:
    for name, run in history.items():
        if key not in run:
            raise ValueError(f"history[{name!r}] must have {key!r}, got {sorted(run)}")
    return _curves("history", {name: run[key] for name, run in history.items()})


def _centred_mean(curve: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps that have half a window on both sides, and the mean of the window around each."""
    reach = min(window // 2, (len(curve) - 1) // 2)
    width = 2 * reach + 1
    return np.arange(reach, len(curve) - reach), np.convolve(curve, np.ones(width) / width, "valid")


def _positive(name: str, values: np.ndarray) -> np.ndarray:
    if (values <= 0).any():
        raise ValueError(f"{name} must be above 0 milliseconds, got {values.min():g}")
    return values
