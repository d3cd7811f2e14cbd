"""An explorer of what attention caches: sliders above bars of GB, one bar per way to cache."""

import math

import ipywidgets as widgets
from matplotlib.figure import Figure
from traitlets import dlink

from helpers.model.kv_cache import cache_bytes, in_gb, ways_to_cache
from helpers.plots.explorers import WORDS, Explorer
from helpers.plots.palette import REFERENCE, USUAL, name_axes, plain

D_ROPE = 64  # of DeepSeek-V2 and V3


def cache_explorer() -> Explorer:
    """Sliders for the sizes of an attention over `draw_cache_view`, starting at DeepSeek-V3's."""
    heads, kv_heads = _powers("heads", 128, 2, 7), _powers("KV heads", 8, 0, 7)
    # Linked before the explorer observes them, so KV heads are clamped before anything is drawn.
    dlink((heads, "value"), (kv_heads, "max"), math.log2)
    return Explorer(
        lambda figure, **values: draw_cache_view(
            figure, **{name: round(value) for name, value in values.items()}
        ),
        layers=widgets.IntSlider(61, 1, 128, description="layers", style=WORDS),
        heads=heads,
        kv_heads=kv_heads,
        d_head=_powers("d_head", 128, 4, 8),
        d_latent=widgets.IntSlider(512, 32, 2048, step=32, description="d_latent", style=WORDS),
        context=_powers("context", 4096, 9, 20),
        bytes_per_number=widgets.SelectionSlider(
            value=2, options=[1, 2, 4], description="bytes each", style=WORDS
        ),
    )


def draw_cache_view(
    figure: Figure,
    layers: int,
    heads: int,
    kv_heads: int,
    d_head: int,
    d_latent: int,
    context: int,
    bytes_per_number: int,
) -> None:
    """Draws the GB that each way caches for one sequence, with its ratio to MHA.

    MLA's rotary key is 64 wide, as DeepSeek's.
    """
    ways = ways_to_cache(heads, d_head, kv_heads, d_latent, D_ROPE)
    sizes = {
        name: cache_bytes(numbers, layers, context, bytes_per_number=bytes_per_number)
        for name, numbers in ways.items()
    }
    # Margins by hand, since a layout engine measures every text once more.
    ax = figure.subplots(gridspec_kw={"left": 0.2, "right": 0.97, "bottom": 0.15, "top": 0.9})
    plural = "s" * (kv_heads > 1)
    names = [f"GQA, {kv_heads} KV head{plural}" if name == "GQA" else name for name in sizes]
    colours = [REFERENCE if name == "MHA" else USUAL for name in sizes]
    bars = ax.barh(names, [size / 1e9 for size in sizes.values()], color=colours)
    ax.bar_label(bars, [_label(size, sizes["MHA"]) for size in sizes.values()])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.45 * max(sizes.values()) / 1e9)
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.locator_params(axis="x", nbins=5)  # most of a redraw is its text
    title = f"{layers} layer{'s' * (layers > 1)}, {heads} heads of {d_head}, {context:,} tokens"
    name_axes(ax, title, "GB cached for one sequence; in brackets, beside MHA", "")


def _label(size: int, baseline: int) -> str:
    if size == baseline:
        return f" {in_gb(size)}"
    ratio = baseline / size
    times = f"{plain(ratio)} times less" if ratio > 1 else f"{plain(1 / ratio)} times more"
    return f" {in_gb(size)} ({times})"


def _powers(name: str, value: int, least: int, most: int) -> widgets.FloatLogSlider:
    """A slider over the powers of two from 2**least to 2**most."""
    return widgets.FloatLogSlider(
        value,
        base=2,
        min=least,
        max=most,
        step=1,
        readout_format=",.0f",
        description=name,
        style=WORDS,
    )
