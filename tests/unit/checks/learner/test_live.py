"""A training that is looked at while it runs, on displays that are not there."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from checks.learner import live
from checks.learner.live import LiveTraffic, live_traffic
from helpers.measuring.traffic import layers_of
from helpers.model.llama import Decoder, SwiGLU
from helpers.plots.live_frame import LiveFrame
from solutions.d1_moe import MoELayer


class Display:
    """Keeps what it was asked to show."""

    def __init__(self):
        self.frames = []

    def update(self, image) -> None:
        self.frames.append(image)


class Clock:
    """Says a second more at each look."""

    def __init__(self, tick: float):
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture
def model() -> Decoder:
    torch.manual_seed(0)
    return Decoder(32, 16, 2, 2, lambda: MoELayer(16, 4, 2, 8))


def steps(model: nn.Module, count: int) -> torch.Tensor:
    for _ in range(count):
        ids = torch.randint(0, 32, (2, 8))
        model(ids).sum().backward()
    return ids


def test_outside_work_only_the_last_frame_is_shown(model, monkeypatch):
    shown = []
    monkeypatch.setattr(live, "display", lambda *args, **options: shown.append(args))
    with live_traffic(model) as watch:
        steps(model, 6)
    assert shown == []
    watch._ipython_display_()
    assert len(shown) == 1 and "Step 5: loss" in repr(watch)


def test_in_work_the_frame_is_redrawn_in_place_and_shown_once(model, monkeypatch):
    handle, shown, clock = Display(), [], Clock(0.0)
    monkeypatch.setattr(live, "display", lambda *args, **options: shown.append(args))
    with LiveTraffic(model, lambda image: handle, clock) as watch:
        for _ in range(12):
            steps(model, 1)
            clock.now += 1.0
    watch._ipython_display_()
    assert shown == [] and len(handle.frames) > 10
    assert handle.frames[0].data != handle.frames[-1].data
    assert handle.frames[-1].data.startswith(b"\x89PNG")


def test_a_slow_display_is_asked_seldom(model):
    handle, clock = Display(), Clock(0.0)

    class Slow(Display):
        def update(self, image) -> None:
            super().update(image)
            clock.now += 1.0

    handle = Slow()
    with LiveTraffic(model, lambda image: handle, clock) as watch:
        for _ in range(400):
            steps(model, 1)
            clock.now += 0.5
    assert 2 <= len(handle.frames) <= 7 and watch.share < 0.03


def test_no_frame_is_shown_where_there_is_no_kernel():
    assert live.show_in_work(None) is None


@pytest.mark.parametrize("learners", [True, False])
def test_a_kernel_shows_frames_only_in_work(monkeypatch, learners):
    class Shell:
        kernel = object()

    handle = Display()
    monkeypatch.setattr(live, "get_ipython", Shell)
    monkeypatch.setattr(live.this_notebook, "is_learners", lambda: learners)
    monkeypatch.setattr(live, "display", lambda image, display_id: display_id and handle)
    assert live.show_in_work(None) is (handle if learners else None)


def test_the_loss_is_the_models_and_measuring_is_no_training(model):
    with live_traffic(model) as watch:
        with torch.no_grad():
            model(torch.randint(0, 32, (2, 8)))
        assert watch._losses == []
        ids = steps(model, 1)
    logits = model(ids).detach()
    wanted = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:])
    assert watch._losses == pytest.approx([float(wanted)])
    assert [int(load.sum()) for load in watch._loads] == [2 * 2 * 8] * 2


def test_padding_is_no_part_of_the_loss():
    ids = torch.tensor([[3, 1, 2, 0, 0, 0], [1, 2, 3, 1, 2, 4]])
    logits = torch.zeros(2, 6, 5)
    logits[0, 2:, 0] = -50.0  # padding, and nothing else, would be costly
    assert live._loss(logits, ids) == pytest.approx(float(torch.tensor(5.0).log()), abs=1e-5)


def test_a_watch_goes_on_in_a_later_cell_and_leaves_the_model_alone(model):
    with live_traffic(model) as watch:
        steps(model, 10)
    steps(model, 10)
    with watch:
        steps(model, 10)
    assert watch._steps == [0, 9, 10, 19]
    assert not model._forward_hooks


def test_an_interrupted_training_leaves_no_hook(model):
    with pytest.raises(KeyboardInterrupt), live_traffic(model):
        raise KeyboardInterrupt
    assert not model._forward_hooks


def test_a_model_without_experts_is_told_apart():
    dense = Decoder(32, 16, 1, 2, lambda: SwiGLU(16, 8))
    with pytest.raises(ValueError, match="model must have a layer with experts"):
        live_traffic(dense)


def test_a_frame_has_room_for_what_comes_and_says_what_it_shows():
    frame, load = LiveFrame(5, 4), [np.array([8.0, 4.0, 4.0, 0.0])] * 5
    first = frame.png([0], [6.0], load)
    assert frame.png([0], [6.0], load) == first
    assert frame.png([0, 90], [6.0, 4.5], load) != first
    assert frame.png([0, 149], [6.0, 4.5], load) != frame.png([0, 150], [6.0, 4.5], load)
    assert frame._loss.get_xlim() == (0, 200)
    frame.png([0, 90], [6.0, 4.5], load)
    assert frame.alternative == "Step 90: loss 4.50, the busiest expert at 2 of the even share"


def test_the_last_frame_shows_what_was_trained_on_and_not_what_was_measured(model):
    with live_traffic(model) as watch:
        steps(model, 4)
        trained = [layer.last_experts.flatten().bincount(minlength=4) for layer in layers_of(model)]
        with torch.no_grad():
            model(torch.zeros(5, 8, dtype=torch.int64))
    assert [list(load) for load in watch._loads] == [load.tolist() for load in trained]
