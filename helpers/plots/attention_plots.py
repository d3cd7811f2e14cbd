"""Pictures of attention: what its cache costs, what a latent keeps of it, and where it looks.

Letters: H heads, L positions.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from helpers.model.kv_cache import in_gb
from helpers.plots.curve_plots import Curve
from helpers.plots.palette import (
    CHANCE,
    HEAT,
    REFERENCE,
    USUAL,
    LineStyle,
    axes_or_new,
    figure_or_new,
    key_to,
    name_axes,
    name_marker,
    name_style,
    numbers,
    plain,
    validate_length,
    visible,
)

CARD_GB = 24  # the memory of a large consumer graphics card
MOST_HEADS, MOST_COLUMNS, MOST_LABELLED = 8, 4, 24

Labels = dict[str, tuple[float | int, LineStyle]]  # a text's y, and the style of its line
_GREY_DASHES: LineStyle = {"color": CHANCE, "linestyle": "--"}
_LABEL_GAP = 0.065  # of the height of the axes, between two labels at its right


def plot_cache_growth(
    bytes_per_token: dict[str, int], contexts: Sequence[int], title: str, ax: Axes | None = None
) -> None:
    """Draws GB over context, both logarithmic: a line per name, with its value at the end.

    If a line reaches 24 GB, a dashed one marks that much memory, of a consumer card.
    """
    sizes = _positive("bytes_per_token", list(bytes_per_token.values()), "N")
    lengths = np.sort(_positive("contexts", contexts, "C"))
    ax = axes_or_new(ax, 7.6, 4.0)
    labels: Labels = {}
    for name, size in zip(bytes_per_token, sizes, strict=True):
        gigabytes = lengths * size / 1e9
        ax.plot(lengths, gigabytes, **name_style(name))
        labels[f"{name}, {in_gb(int(lengths[-1] * size))}"] = gigabytes[-1], name_style(name)
    ax.set(xscale="log", yscale="log")
    if sizes.max() * lengths[-1] / 1e9 >= CARD_GB:
        ax.axhline(CARD_GB, **_GREY_DASHES)
        labels[f"memory of a consumer card, {CARD_GB} GB"] = CARD_GB, _GREY_DASHES
    _name_ticks(ax, {length: f"{length:,.0f}" for length in lengths}, most=8)
    ax.yaxis.set_major_formatter("{x:,g}")
    _label_at_right(ax, lengths[-1], labels)
    name_axes(ax, title, "context, tokens", "cache, GB")


def plot_cosine_over_rank(
    cosines: dict[str, Curve],
    ranks: Sequence[int],
    title: str,
    *,
    full_width: int,
    controls: dict[str, float] | None = None,
    target: float = 0.95,
    ax: Axes | None = None,
) -> None:
    """Draws each method's cosine similarity over the latent width, with the compression below it.

    A latent of width r caches `full_width / r` times less. `controls` are dashed grey lines that
    show what to expect without the method.
    """
    widths = _widths(ranks, full_width)
    if not cosines:
        raise ValueError("cosines must name at least one method, got none")
    curves = {key: _cosines(f"cosines[{key!r}]", curve) for key, curve in cosines.items()}
    for key, curve in curves.items():
        validate_length(f"cosines[{key!r}]", curve, "rank", len(widths))
    levels = {key: _cosines(f"controls[{key!r}]", [x])[0] for key, x in (controls or {}).items()}
    (target,) = _cosines("target", [target])
    ax = axes_or_new(ax, 7.6, 4.2)
    for key, curve in curves.items():
        ax.plot(widths, curve, **name_style(key), marker=name_marker(key), label=key)
    ax.set_xscale("log")
    _name_ticks(ax, {w: f"{w:g}\n{_times(full_width / w)}" for w in widths}, most=16)
    _draw_levels(ax, levels, target, widths.max())
    name_axes(ax, title, "latent width; below it, how much less is cached", "cosine similarity")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, frameon=False)


def plot_bandwidth(
    bytes_read: dict[str, int],
    milliseconds: dict[str, float],
    copy_gb_per_second: float,
    title: str,
    figure: Figure | None = None,
    multiplications: dict[str, int] | None = None,
) -> None:
    """Draws the MB that each way reads for one token, and the GB/s it reaches in doing so.

    A dashed line at `copy_gb_per_second` shows how fast the same machine copies; `multiplications`
    stand between the two.
    """
    read = _of_the_same_ways("bytes_read", bytes_read, bytes_read)
    times = _of_the_same_ways("milliseconds", milliseconds, bytes_read)
    (copy,) = _positive("copy_gb_per_second", [copy_gb_per_second], "N")
    wide, panels = (12.0, 3) if multiplications else (9.0, 2)
    figure = figure_or_new(figure, wide, 1.9 + 0.42 * len(read))
    left, *middle, right = figure.subplots(1, panels, sharey=True)
    _draw_on_log(left, list(bytes_read), read / 1e6)
    left.set_ylim(len(read) - 0.5, -0.5)
    if multiplications:
        counted = _of_the_same_ways("multiplications", multiplications, bytes_read)
        _draw_on_log(middle[0], list(bytes_read), counted / 1e6)
        name_axes(middle[0], "Multiplied for one token", "millions", "")
    _draw_bars(right, list(bytes_read), read / times / 1e6)
    right.axvline(copy, color=REFERENCE, linestyle="--", label=f"plain copy, {plain(copy)} GB/s")
    name_axes(left, "Read for one token", "MB", "")
    name_axes(right, "Speed of reading", "GB/s", "")
    figure.legend(loc="outside lower right", frameon=False)
    figure.suptitle(title, fontweight="bold")


def _of_the_same_ways(name: str, numbers: dict, ways: dict) -> np.ndarray:
    if numbers.keys() != ways.keys():
        raise ValueError(
            f"{name} must name the same ways as bytes_read, {list(ways)}, got {list(numbers)}"
        )
    return _positive(name, [numbers[way] for way in ways], "N")


def _draw_on_log(ax: Axes, names: list[str], values: np.ndarray) -> None:
    """Dots, since the length of a bar means nothing on an axis without a 0."""
    ax.plot(values, names, "o", color=USUAL, markersize=8)
    for name, value in zip(names, values, strict=True):
        ax.annotate(plain(value), (value, name), (8, 0), textcoords="offset points", va="center")
    ax.set_xscale("log")
    ax.set_xlim(values.min() / 4, values.max() * 9)
    ax.grid(axis="y", color=CHANCE, alpha=0.3)
    ax.xaxis.set_major_formatter("{x:,g}")


def plot_attention_maps(
    weights: Float[Tensor, "H L L"],
    tokens: Sequence[str],
    title: str,
    figure: Figure | None = None,
) -> None:
    """Draws each head's attention weights, one row per query; at most 8 heads.

    Above the diagonal a cell stays empty unless its query sees a later token. Up to 24 tokens are
    written out, without the space that begins them; the label explains the marks in them.
    """
    heads = _attention("weights", weights)
    validate_length("tokens", tokens, "row of weights", heads.shape[1])
    rows = 1 if len(heads) <= MOST_COLUMNS else 2
    columns = -(-len(heads) // rows)
    panel = max(1.9, 0.11 * len(tokens) * (len(tokens) <= MOST_LABELLED))
    figure = figure_or_new(figure, 1.9 + panel * columns, 1.2 + (panel + 0.1) * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(heads) :]:
        ax.remove()
    for head, (ax, attention) in enumerate(zip(axes.flat, heads, strict=False)):
        image = _draw_head(ax, attention, tokens, f"head {head}")
        ax.tick_params(labelbottom=head >= len(heads) - columns)
    figure.colorbar(image, ax=figure.axes, label="attention weight", aspect=30)
    written = [visible(token).removeprefix("·") for token in tokens]
    key = key_to(written) if len(tokens) <= MOST_LABELLED else ""
    figure.supxlabel(f"key: token looked at{key}", fontsize="medium")
    figure.supylabel("query: token that looks", fontsize="medium")
    figure.suptitle(title, fontweight="bold")


def _draw_levels(ax: Axes, levels: dict[str, float], target: float, x: float) -> None:
    """Draws horizontal lines with their names at the right of `x`."""
    labels: Labels = {
        f"{name}, {level:.2f}": (level, _GREY_DASHES) for name, level in levels.items()
    }
    labels[f"target, {target:.2f}"] = target, {"color": REFERENCE, "linestyle": ":"}
    for level, style in labels.values():
        ax.axhline(level, **style)
    _label_at_right(ax, x, labels)


def _label_at_right(ax: Axes, x: float, labels: Labels) -> None:
    """Writes each text beside its y, right of the axes, and ties it to (x, y) by a thin line.

    Texts that would overlap are moved up, or down again where the axes end.
    """
    ax.get_ylim()  # takes what was drawn into account
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = {text: to_axes.transform((x, y))[1] for text, (y, _) in labels.items()}
    texts = sorted(wanted, key=lambda text: wanted[text])
    heights = _apart([wanted[text] for text in texts])
    for text, height in zip(texts, heights, strict=True):
        y, style = labels[text]
        thin = {"color": style["color"], "linewidth": 0.7}
        ax.annotate(
            text,
            (x, y),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize="small",
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 0, **thin},
        )


def _apart(heights: list[float]) -> list[float]:
    """Ascending `heights`, each at least a label's gap above the one before, within the axes."""
    gaps = _LABEL_GAP * np.arange(len(heights))
    upwards = np.maximum.accumulate(np.array(heights) - gaps) + gaps
    return list(np.minimum(upwards, 1 - gaps[::-1]))


def _name_ticks(ax: Axes, names: dict[float, str], most: int) -> None:
    """Labels at most `most` positions of a logarithmic x; one too near the last is left out."""
    first, *others = sorted(names)
    room = np.log(max(names) / first) / (most - 1) - 1e-9
    shown = [first]
    for position in others:
        if np.log(position / shown[-1]) >= room:
            shown.append(position)
    ax.set_xticks(shown, [names[position] for position in shown], fontsize="small")
    ax.set_xticks([], minor=True)


def _draw_bars(ax: Axes, names: list[str], values: np.ndarray) -> None:
    """Each with its number: inside a long bar, so that no line beyond the bar crosses it."""
    ax.barh(names, values, color=USUAL)
    for name, value in zip(names, values, strict=True):
        inside = value > values.max() / 2
        ax.annotate(
            plain(value), (value, name), (-6 if inside else 6, 0), textcoords="offset points",
            ha="right" if inside else "left", va="center", color="white" if inside else "black",
        )  # fmt: skip
    ax.margins(x=0.2)


def _draw_head(ax: Axes, weights: np.ndarray, tokens: Sequence[str], title: str) -> AxesImage:
    unseen = np.triu(weights == 0, 1)
    # The tint follows the root of the weight, so that attention to many tokens is visible too.
    image = ax.imshow(np.where(unseen, np.nan, weights), cmap=HEAT, norm=PowerNorm(0.5, 0, 1))
    name_axes(ax, title, "", "")
    if len(tokens) <= MOST_LABELLED:
        names = [visible(token).removeprefix("·") or "·" for token in tokens]
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7, parse_math=False)
        ax.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    return image


def _attention(name: str, value: object) -> np.ndarray:
    weights = numbers(name, value, "H L L")
    if weights.shape[1] != weights.shape[2]:
        raise ValueError(f"{name} must have as many keys as queries, got shape {weights.shape}")
    if len(weights) > MOST_HEADS:
        raise ValueError(f"{name} must have at most {MOST_HEADS} heads, got {len(weights)}")
    if weights.min() < 0 or weights.max() > 1 + 1e-6:
        wrong = weights.min() if weights.min() < 0 else weights.max()
        raise ValueError(f"{name} must be from 0 to 1, got {wrong:g}")
    return weights


def _widths(ranks: Sequence[int], full_width: int) -> np.ndarray:
    widths = numbers("ranks", ranks, "R")
    wrong = (widths < 1) | (widths > full_width)
    if wrong.any():
        raise ValueError(
            f"ranks must be from 1 to full_width={full_width}, got {widths[wrong][0]:g}"
        )
    return widths


def _cosines(name: str, value: Curve) -> np.ndarray:
    cosines = numbers(name, value, "R")
    if np.abs(cosines).max() > 1 + 1e-6:
        raise ValueError(f"{name} must be from -1 to 1, got {cosines[np.abs(cosines).argmax()]:g}")
    return cosines


def _positive(name: str, value: object, shape: str) -> np.ndarray:
    values = numbers(name, value, shape)
    if (values <= 0).any():
        raise ValueError(f"{name} must be above 0, got {values.min():g}")
    return values


def _times(ratio: float) -> str:
    return f"{ratio:,.1f}".removesuffix(".0") + "x"
