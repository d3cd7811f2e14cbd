"""One picture of a training in progress: the loss so far, and the load of each layer's experts.

Axes and texts are drawn anew only when a limit must grow, and each frame lays its line and bars on
them, which takes a tenth of the time.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from helpers.plots.palette import REFERENCE, USUAL, layer_name, name_axes, plain

MOST_LAYERS = 3
HEIGHT, DPI = 2.5, 80  # inches, dots per inch


class LiveFrame:
    """A picture of `num_layers` layers with `num_experts` experts each; of many, the first three.

    `alternative` is the text that stands for the picture where it cannot be seen.
    """

    def __init__(self, num_layers: int, num_experts: int):
        shown = min(num_layers, MOST_LAYERS)
        figure = Figure(figsize=(3.6 + 2.1 * shown, HEIGHT), dpi=DPI)
        self._canvas = FigureCanvasAgg(figure)
        # Margins by hand, since a layout engine measures every text once more.
        margins = {"left": 0.08, "right": 0.98, "bottom": 0.22, "top": 0.88, "wspace": 0.3}
        self._loss, *panels = figure.subplots(
            1, 1 + shown, width_ratios=[1.6] + [1.0] * shown, gridspec_kw=margins
        )
        (self._line,) = self._loss.plot([], [], color=USUAL, animated=True)
        name_axes(self._loss, "loss, nats per token", "training step", "")
        self._panels = panels
        none = [0.0] * num_experts
        self._bars = [ax.bar(range(num_experts), none, color=USUAL) for ax in panels]
        self._moving = [(self._loss, self._line)]
        for i, (ax, bars) in enumerate(zip(panels, self._bars, strict=True)):
            even = ax.axhline(1, color=REFERENCE, linestyle="--", linewidth=1)
            self._moving += [(ax, artist) for artist in (*bars, even)]
            name_axes(ax, f"{layer_name(i)}, load ÷ even", "expert", "")
        for _, artist in self._moving:
            artist.set_animated(True)
        self._limits: tuple[float, ...] = ()
        self.alternative = "A training that has not begun"

    def png(
        self, steps: Sequence[int], losses: Sequence[float], loads: Sequence[np.ndarray]
    ) -> bytes:
        """The picture after these losses at these steps, with the present load of each layer."""
        relative = [load / max(load.mean(), 1e-9) for load in loads[:MOST_LAYERS]]
        busiest = max(float(load.max()) for load in relative)
        self._make_room(max(steps, default=0), max(losses, default=7.9), busiest)
        self._line.set_data(steps, losses)
        for bars, load in zip(self._bars, relative, strict=True):
            for bar, height in zip(bars, load, strict=True):
                bar.set_height(height)
        self._canvas.restore_region(self._behind)
        for ax, artist in self._moving:
            ax.draw_artist(artist)
        if len(steps):
            self.alternative = (
                f"Step {steps[-1]}: loss {losses[-1]:.2f}, the busiest expert at "
                f"{plain(busiest)} of the even share"
            )
        return self._encoded()

    def _make_room(self, step: int, loss: float, busiest: float) -> None:
        """Draws axes and texts where the limits so far are too small, with some room to spare."""
        limits = ((step // 50 + 1) * 50, _rounded_up(loss), _rounded_up(max(busiest, 2.0)))
        if limits == self._limits:
            return
        self._limits = limits
        self._loss.set(xlim=(0, limits[0]), ylim=(0, limits[1]))
        for ax in self._panels:
            ax.set_ylim(0, limits[2])
        for ax in (self._loss, *self._panels):
            ax.locator_params("x", nbins=5, integer=True)  # steps and experts are whole numbers
            ax.locator_params("y", nbins=4)
        self._canvas.draw()
        self._behind = self._canvas.copy_from_bbox(self._canvas.figure.bbox)

    def _encoded(self) -> bytes:
        png = io.BytesIO()
        pixels = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        pixels.save(png, format="png", compress_level=1)
        return png.getvalue()


def _rounded_up(value: float) -> float:
    """The least of 1, 2, 3, 5, 8 and these times a power of ten that is above `value`."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return next(power * step for step in (1, 2, 3, 5, 8, 10, 20) if power * step > value)
