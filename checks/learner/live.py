"""Loss and expert load of a model while it trains, redrawn in place in a learner's notebook.

An update in place would fail the comparison of stored outputs, so elsewhere, in the build and under
nbval, only the last frame is shown, once the training is over.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import DisplayHandle, Image, display
from torch import Tensor, nn
from torch.nn import functional as F

from checks.learner_files import this_notebook
from helpers.measuring.traffic import layers_of
from helpers.plots.live_frame import LiveFrame


class Picture(Protocol):
    """What is on the screen: IPython's display handle."""

    def update(self, obj: Any, /) -> None:
        """Puts `obj` in the place of what is there."""


Show = Callable[[Image], Picture | None]
SHARE = 0.025  # of the time of a training that looking and drawing may take
EVERY = 10  # steps between two points of the loss


class LiveTraffic:
    """What `live_traffic` returns: `with` it, every training step of its model is looked at.

    As the last expression of a cell it shows the last frame, unless that is on the screen already.
    `show` displays a first frame and returns what updates it, or None where nothing should move.
    """

    def __init__(
        self, model: nn.Module, show: Show, clock: Callable[[], float] = time.perf_counter
    ):
        self._model, self._show, self._clock = model, show, clock
        layers = layers_of(model)
        if not layers:
            raise ValueError("model must have a layer with experts, got none")
        self._frame = LiveFrame(len(layers), len(layers[0].experts))
        self._step = 0
        self._last: tuple[Tensor, Tensor, list[Tensor]] | None = None  # a step not noted yet
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._loads = [np.zeros(len(layers[0].experts)) for _ in layers]
        self._handle: Picture | None = None
        self._hook: Any = None
        self._spent, self._drawing, self._trained = 0.0, 0.0, 0.0

    def __enter__(self) -> "LiveTraffic":
        self._begun = self._clock()
        self._handle = self._show(self._image())
        self._spent += self._clock() - self._begun
        self._hook = self._model.register_forward_hook(self._look)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()
        start = self._clock()
        if self._last is not None:
            self._note(*self._last)
        if self._handle is not None:
            self._handle.update(self._image())
        self._spent += self._clock() - start
        self._trained += self._clock() - self._begun

    @property
    def share(self) -> float:
        """The part of the time of all trainings so far that looking and drawing took."""
        return self._spent / self._trained if self._trained else 0.0

    def _look(self, model: nn.Module, args: tuple, logits: Tensor) -> None:
        """Notes a training step after its forward pass, and draws where there is time for it."""
        if not torch.is_grad_enabled():
            return  # the model is measured, not trained
        start = self._clock()
        chosen = [layer.last_experts for layer in layers_of(self._model)]
        self._last = args[0], logits.detach(), chosen
        self._step += 1
        if self._step % EVERY == 1:
            self._note(*self._last)
        drawn = self._spent + self._drawing
        if self._handle is not None and drawn <= SHARE * (self._trained + start - self._begun):
            self._handle.update(self._image())
            self._drawing = min(self._drawing or 1.0, self._clock() - start)
        self._spent += self._clock() - start

    def _note(self, ids: Tensor, logits: Tensor, chosen: Sequence[Tensor]) -> None:
        self._last = None
        self._steps.append(self._step - 1)
        self._losses.append(_loss(logits, ids))
        experts = len(self._loads[0])
        self._loads = [
            torch.bincount(each.flatten(), minlength=experts).cpu().numpy() for each in chosen
        ]

    def _image(self) -> Image:
        png = self._frame.png(self._steps, self._losses, self._loads)
        return Image(png, metadata={"alt": self._frame.alternative})

    def __repr__(self) -> str:
        return f"LiveTraffic: {self._frame.alternative}"

    def _ipython_display_(self) -> None:
        if self._handle is None:
            display(self._image())


def live_traffic(model: nn.Module) -> LiveTraffic:
    """A picture of `model`'s loss and load for the time of a `with`.

    In `work/` it is redrawn in place, in under 3% of the time. The loss is of every tenth batch
    and of the last, over the tokens whose successor is in the batch; rows' ends that repeat one
    token are padding and left out. Raises a ValueError for a model without experts.
    """
    return LiveTraffic(model, show_in_work)


def show_in_work(image: Image) -> DisplayHandle | None:
    """Displays `image` if a kernel runs the learner's own notebook, and returns its handle."""
    if getattr(get_ipython(), "kernel", None) is None or not this_notebook.is_learners():
        return None
    return display(image, display_id=True)


def _loss(logits: Tensor, ids: Tensor) -> float:
    targets = ids[:, 1:]
    repeats = (ids == ids[:, -1:]).flip(1).cumprod(1).flip(1)[:, 1:].bool()
    repeats[:, -1] = repeats[:, -1] & repeats[:, -2:].all(1)  # one token alone is no padding
    loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none")
    return float(loss[~repeats].mean())
