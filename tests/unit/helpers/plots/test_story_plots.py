"""Pictures of what a run on stories learns and occupies."""

import inspect
import math

import numpy as np
import pytest
from matplotlib import pyplot as plt

from helpers.plots.story_plots import plot_copying, plot_memory, plot_memory_stack
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

STEPS = [0, 50, 100]
LOSSES = {"names": [[2.9, 1.0, 0.1], [2.9, 1.4, 0.3]], "colours": [2.0, 1.9, 0.2]}
CHANCE = {"names": math.log(18)}
STACK = {
    "dense": {"weights": 1.0, "gradients": 1.0, "Adam's two moments": 2.0},
    "mixture": {"weights": 300.0, "gradients": 300.0, "Adam's two moments": 600.0},
}

PICTURES = {
    "copying": lambda: plot_copying(STEPS, LOSSES, "finding", chance=CHANCE),
    "copying and coherence": lambda: plot_copying(
        STEPS, LOSSES, "finding", coherent=[0.0, 0.1, 0.9]
    ),
    "memory": lambda: plot_memory({"weights": [1.0, 2.0]}, ["one", "other"], "finding"),
    "stack": lambda: plot_memory_stack(STACK, "finding"),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module", params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return picture_of(request.param)


def test_a_plot_opens_one_figure_returns_nothing_and_says_the_finding(picture):
    assert opens_one_figure_and_says(picture, "finding")


def test_nothing_is_cut_off(picture):
    assert not is_cut_off(picture.figure)


def labelled(ax, start: str):
    return next(line for line in ax.get_lines() if str(line.get_label()).startswith(start))


def test_seeds_are_thin_beside_their_mean_and_chance_has_the_kinds_colour():
    plot_copying(STEPS, LOSSES, "finding", chance=CHANCE)
    (ax,) = plt.gcf().axes
    mean, guess = labelled(ax, "names, mean of 2 seeds"), labelled(ax, "a guess among names, 2.89")
    np.testing.assert_allclose(mean.get_ydata(), [2.9, 1.2, 0.2])
    assert guess.get_ydata()[0] == pytest.approx(math.log(18))
    assert guess.get_color() == mean.get_color() != labelled(ax, "colours").get_color()
    thin = [line for line in ax.get_lines() if line.get_color() == mean.get_color()][:2]
    assert [line.get_ydata().tolist() for line in thin] == LOSSES["names"]
    assert labelled(ax, "colours").get_ydata().tolist() == LOSSES["colours"]


def test_coherence_stands_below_on_the_same_steps():
    plot_copying(STEPS, LOSSES, "finding", coherent=[0.0, 0.1, 0.9])
    top, below = plt.gcf().axes
    assert below.get_lines()[0].get_xydata()[:, 1].tolist() == [0.0, 0.1, 0.9]
    assert top.get_xlim() == below.get_xlim()
    assert below.get_xlabel() == "training step" and top.get_xlabel() == ""


def test_a_stack_begins_at_zero_and_ends_at_its_sum():
    plot_memory_stack(STACK, "finding")
    (ax,) = plt.gcf().axes
    ends = [[bar.get_x() + bar.get_width() for bar in kind] for kind in ax.containers]
    assert ends == [[1.0, 300.0], [2.0, 600.0], [4.0, 1200.0]]
    assert ax.get_xlim()[0] == 0
    assert [text.get_text().strip() for text in ax.texts] == ["4 MB", "1,200 MB"]
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 3


BAD = {
    "nothing told": (plot_copying, (STEPS, {}, "t"), {}, "losses must name at least one kind"),
    "a step too few": (
        plot_copying, (STEPS[:2], LOSSES, "t"), {},
        "losses['names'] must have one entry for each step, 2, got 3",
    ),
    "seeds of other lengths": (
        plot_copying, (STEPS, {"names": [[1.0], [1.0, 2.0]]}, "t"), {},
        "losses['names'] must be a curve, or curves of one length",
    ),
    "chance of nothing": (
        plot_copying, (STEPS, LOSSES, "t"), {"chance": {"things": 1.0}},
        "chance must name kinds of ['names', 'colours'], got 'things'",
    ),
    "no coherence": (
        plot_copying, (STEPS, LOSSES, "t"), {"coherent": [0.1]},
        "coherent must have one entry for each step, 3, got 1",
    ),
    "no model": (plot_memory_stack, ({}, "t"), {}, "megabytes must name at least one model"),
    "kinds that differ": (
        plot_memory_stack, ({"a": {"x": 1.0}, "b": {"y": 1.0}}, "t"), {},
        "megabytes['b'] must name the same kinds as 'a', ['x'], got ['y']",
    ),
    "less than nothing": (
        plot_memory_stack, ({"a": {"x": -1.0}}, "t"), {},
        "megabytes['a'] must be 0 or more, got -1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence_and_opens_no_figure(function, arguments, options, message):
    with pytest.raises(ValueError) as caught:
        inspect.unwrap(function)(*arguments, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
