"""Pictures that follow sliders, and the two of them that D1 and D2 use.

`interact` and `Output` would break nbval's comparison of stored outputs, so an explorer is an image
that is redrawn on every change; the `draw_…` functions draw the same without sliders.
Letters: T tokens, E experts, K = top_k, S steps.
"""

import base64
import html
import io
from collections.abc import Callable
from functools import cache

import ipywidgets as widgets
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from traitlets import dlink

from helpers.measuring.random_routing import chance_cv
from helpers.plots.curve_plots import plot_bias_paths
from helpers.plots.load_plots import plot_load
from helpers.plots.palette import CHANCE, REFERENCE, USUAL, name_axes, numbers

WIDTH, HEIGHT, DPI = 9.0, 3.6, 90  # inches, inches, dots per inch: few, to redraw in under 0.2 s

WORDS = {"description_width": "7em"}  # room for the longest slider's name


class Explorer(widgets.VBox):
    """Sliders above a picture that `draw(figure, **values)` draws again when one of them moves.

    `figure` is empty. What `draw` raises is raised by the constructor, and later shown as one line
    in place of the picture.
    """

    def __init__(self, draw: Callable[..., None], **sliders: widgets.Widget):
        self.draw, self.sliders = draw, sliders
        self.canvas = FigureCanvasAgg(Figure(figsize=(WIDTH, HEIGHT), dpi=DPI))
        self.message = widgets.HTML()
        self.picture = widgets.Image(format="png", value=self._png())
        super().__init__([*sliders.values(), self.message, self.picture])
        for slider in sliders.values():
            slider.observe(self._redraw, names="value")

    @property
    def values(self) -> dict[str, object]:
        """The sliders' current values, with which `draw` is called."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def _png(self) -> bytes:
        self.canvas.figure.clear()
        self.draw(self.canvas.figure, **self.values)
        png = io.BytesIO()
        self.canvas.print_png(png, pil_kwargs={"compress_level": 1})
        return png.getvalue()

    def _redraw(self, change: object) -> None:
        try:
            self.picture.value, self.message.value = self._png(), ""
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())
            self.message.value = f"<b>{html.escape(line)}</b>"
        self.picture.layout.display = "none" if self.message.value else None

    def __repr__(self) -> str:
        return f"Explorer({', '.join(f'{name}={value}' for name, value in self.values.items())})"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        # A reader without a kernel, GitHub for one, sees the first picture.
        picture = base64.b64encode(self.picture.value).decode()
        return super()._repr_mimebundle_(**kwargs) | {"image/png": picture}


def router_explorer(scores: Float[Tensor, "T E"]) -> Explorer:
    """Sliders for the number of experts, top-k and temperature over `draw_router_view`."""
    most = numbers("scores", scores, "T E").shape[1]
    num_experts = widgets.IntSlider(most, 1, most, description="experts", style=WORDS)
    top_k = widgets.IntSlider(min(2, most), 1, most, description="top-k", style=WORDS)
    # Linked before the explorer observes them, so that top-k is clamped before anything is drawn.
    dlink((num_experts, "value"), (top_k, "max"))
    temperature = widgets.FloatLogSlider(
        1.0, base=10, min=-1, max=1, step=0.1, description="temperature", style=WORDS
    )
    return Explorer(
        lambda figure, **values: draw_router_view(figure, scores, **values),
        num_experts=num_experts,
        top_k=top_k,
        temperature=temperature,
    )


def draw_router_view(
    figure: Figure,
    scores: Float[Tensor, "T E"],
    num_experts: int,
    top_k: int,
    temperature: float,
) -> None:
    """Draws the load and the top gates of a router over the first `num_experts` of `scores`.

    The logits are divided by `temperature` before the softmax; the gates of the chosen `top_k`
    are renormalised.
    """
    gates, experts = _route(scores, num_experts, top_k, temperature)
    left, right = _two_panels(figure)
    load = torch.bincount(experts.flatten(), minlength=num_experts)
    plot_load(load, top_k, len(scores), f"Load of {num_experts} experts, top-{top_k}", left)
    top_gate = gates[:, 0].numpy()
    right.stairs(*np.histogram(top_gate, bins=40, range=(0, 1)), fill=True, color=USUAL)
    right.axvline(1 / top_k, color=REFERENCE, linestyle="--")
    equal = f"top gate (dashed: equal gates, {1 / top_k:.2f})"
    name_axes(right, f"Largest gates at temperature {temperature:.2g}", equal, "tokens")


def _route(
    scores: Tensor, num_experts: int, top_k: int, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = torch.from_numpy(numbers("scores", scores, "T E"))
    if not 1 <= num_experts <= logits.shape[1]:
        raise ValueError(
            f"num_experts must be between 1 and the {logits.shape[1]} columns of scores, "
            f"got {num_experts}"
        )
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"top_k must be between 1 and num_experts={num_experts}, got {top_k}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    probs = (logits[:, :num_experts] / temperature).softmax(-1)
    gates, experts = probs.topk(top_k)
    return gates / gates.sum(-1, keepdim=True), experts


BALANCING = {"num_experts": 16, "top_k": 2, "tokens": 1024}  # of one simulated batch
STEPS = 240


def bias_step_explorer() -> Explorer:
    """A slider for the step of the balancing bias over `draw_bias_step_view`."""
    step = widgets.FloatLogSlider(
        1e-4,  # by far too small, so that the right one is left to find
        base=10,
        min=-4,
        max=-0.5,
        step=0.25,
        description="bias step",
        readout_format=".4f",
        style=WORDS,
    )
    return Explorer(draw_bias_step_view, step=step)


def draw_bias_step_view(figure: Figure, step: float) -> None:
    """Draws the CV of each batch and the bias paths of a simulated, skewed sigmoid router.

    16 experts, top-2, 240 steps of 1024 tokens; after each the bias moves by `step` towards the
    even share (arXiv 2408.15664, algorithm 1).
    """
    if not 0 < step < 10:
        raise ValueError(f"step must be above 0 and below 10, got {step}")
    cv, paths = _balance(step)
    floor = chance_cv(**BALANCING)
    left, right = _two_panels(figure)
    left.plot(cv, color=USUAL)
    left.axhspan(0, floor, color=CHANCE, alpha=0.35, lw=0, label=f"pure chance, {floor:.2f}")
    left.set_ylim(0, 1.2)
    left.legend(loc="upper right", frameon=False)
    name_axes(left, f"Balance of each batch, step {step:.2g}", "training step", "CV of the load")
    plot_bias_paths(paths, "Bias of each expert", ax=right)


def _balance(step: float) -> tuple[Float[Tensor, " S"], Float[Tensor, "S E"]]:
    """The CV of each step's load, and the bias that the step was routed with."""
    batches = _skewed_affinities()
    bias, cv, paths = torch.zeros(batches.shape[1]), [], []
    for i in range(STEPS):
        load = _top_two_load(batches[i % len(batches)] + bias[:, None])
        cv.append(load.std(correction=0) / load.mean())
        paths.append(bias)
        bias = bias + step * torch.sign(load.mean() - load)
    return torch.stack(cv), torch.stack(paths)


@cache
def _skewed_affinities() -> Float[Tensor, "batches E T"]:
    """The affinities of four batches, on average higher for later experts."""
    experts, tokens = BALANCING["num_experts"], BALANCING["tokens"]
    noise = torch.randn(4, experts, tokens, generator=torch.Generator().manual_seed(0))
    return torch.sigmoid(noise + torch.linspace(-1, 1, experts)[:, None])


def _top_two_load(affinity: Float[Tensor, "E T"]) -> Float[Tensor, " E"]:
    # Several times faster than topk along a short axis, and one redraw needs it 240 times.
    others = affinity.masked_fill(affinity == affinity.amax(0), -torch.inf)
    return (affinity >= others.amax(0)).sum(1).float()


def _two_panels(figure: Figure) -> list[Axes]:
    # Margins by hand, since a layout engine measures every text once more.
    margins = {"left": 0.08, "right": 0.93, "bottom": 0.26, "top": 0.9, "wspace": 0.27}
    panels = list(figure.subplots(1, 2, gridspec_kw=margins))
    for ax in panels:
        ax.locator_params(nbins=5)  # most of a redraw is its text
    return panels
