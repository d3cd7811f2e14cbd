"""Pictures over several seeds: what they show, and that they are whole and legible."""

import inspect

import numpy as np
import pytest
from matplotlib import pyplot as plt

from helpers.plots.spread_plots import LIVE, MEAN, STORED, plot_costs, plot_frontier, plot_spread
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

UNIT = "held-out loss, nats per token"
STORED_LOSSES = {"none": [2.30, 2.35, 2.31], "bias": [2.32, 2.36]}
SWEEPS = {
    "none": {"": [(1.0, 2.3), (1.1, 2.32)]},
    "bias": {"0.001": [(0.4, 2.3), (0.5, 2.31)], "0.01": [(0.1, 2.31), (0.12, 2.33)]},
}
COSTS = {
    UNIT: {"dense": [2.3, 2.32], "mixture": [2.1, 2.12]},
    "weights, millions": {"dense": 0.4, "mixture": 2.1},
    "milliseconds a step": {"dense": 1284.4, "mixture": 44.0},
}

PICTURES = {
    "spread": lambda: plot_spread(STORED_LOSSES, "finding", UNIT, noise_of="none"),
    "one variant": lambda: plot_spread({"a": 1.0}, "finding", UNIT),
    "spread and live": lambda: plot_spread(STORED_LOSSES, "finding", UNIT, live={"leak": 2.2}),
    "frontier": lambda: plot_frontier(SWEEPS, "finding", noise=0.01, live={"bias": (0.2, 2.3)}),
    "costs": lambda: plot_costs(COSTS, "finding", live={UNIT: {"mixture": 2.11}}),
    "costs without seeds": lambda: plot_costs({"weights": {"dense": 1.0}}, "finding"),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


def drawn(ax, label: str) -> list:
    """The lines of the axes that look like the one labelled so, in the order of drawing."""
    first = next(line for line in ax.get_lines() if line.get_label() == label)
    return [line for line in ax.get_lines() if line.get_marker() == first.get_marker()]


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.fixture(scope="module", params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return picture_of(request.param)


def test_a_plot_opens_one_figure_returns_nothing_and_says_the_finding(picture):
    assert opens_one_figure_and_says(picture, "finding")


def test_nothing_is_cut_off(picture):
    assert not is_cut_off(picture.figure)


def test_each_seed_is_a_dot_in_its_variants_row_and_the_mean_is_marked(ax):
    plot_spread(STORED_LOSSES, "finding", UNIT, ax=ax)
    dots = drawn(ax, STORED)
    for line, losses in zip(dots, STORED_LOSSES.values(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), losses, rtol=1e-6)
    assert [set(line.get_ydata().tolist()) for line in dots] == [{0}, {1}]
    means = [line.get_xdata()[0] for line in drawn(ax, MEAN)]
    assert means == pytest.approx([2.32, 2.34])
    assert [text.get_text() for text in ax.texts] == ["2.320", "2.340"]
    assert ticks(ax.yaxis) == ["none", "bias"] and ax.get_xlabel() == UNIT


def test_the_seed_run_here_looks_different_and_moves_no_mean(ax):
    plot_spread({"bias": [1.0, 2.0]}, "finding", UNIT, live={"bias": 6.0, "leak": 4.0}, ax=ax)
    here = drawn(ax, LIVE)
    assert [float(line.get_xdata()[0]) for line in here] == [6.0, 4.0]
    assert {line.get_markerfacecolor() for line in here} == {"none"}
    means = [line.get_xdata()[0] for line in ax.get_lines() if line.get_color() == "black"]
    assert means == [1.5]
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == [LIVE, STORED, MEAN]


def test_the_noise_is_two_standard_deviations_of_its_seeds(ax):
    plot_spread({"none": [1.0, 2.0, 3.0], "bias": [2.0]}, "finding", UNIT, noise_of="none", ax=ax)
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.x0, band.x1], [0.0, 4.0], atol=1e-9)


def test_a_sweep_joins_the_means_of_its_settings_and_names_them(ax):
    plot_frontier(SWEEPS, "finding", ax=ax)
    line = next(x for x in ax.get_lines() if x.get_label() == "bias, mean of its seeds")
    np.testing.assert_allclose(line.get_xydata(), [(0.45, 2.305), (0.11, 2.32)])
    assert [text.get_text() for text in ax.texts] == ["", "0.001", "0.01"]
    dots = [x for x in ax.get_lines() if x.get_linestyle() == "None" and len(x.get_xdata()) == 4]
    np.testing.assert_allclose(
        dots[0].get_xydata(), [*SWEEPS["bias"]["0.001"], *SWEEPS["bias"]["0.01"]]
    )


def test_the_noise_of_a_frontier_lies_around_the_lowest_mean(ax):
    plot_frontier(SWEEPS, "finding", noise=0.02, ax=ax)
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [2.285, 2.325])


def test_costs_with_seeds_are_dots_and_numbers_are_bars_from_zero():
    plot_costs(COSTS, "finding")
    loss, weights, times = plt.gcf().axes
    assert not loss.patches and loss.get_xlim()[0] > 2
    assert [bar.get_width() for bar in weights.patches] == pytest.approx([0.4, 2.1])
    assert weights.get_xlim()[0] == times.get_xlim()[0] == 0
    assert [text.get_text().strip() for text in times.texts] == ["1,284", "44"]
    assert [ax.get_title(loc="left") for ax in (loss, weights)] == ["held-out loss", "weights"]
    assert [ax.get_xlabel() for ax in (loss, weights)] == ["nats per token", "millions"]


BAD = {
    "no variant": (plot_spread, ({}, "t", "u"), {}, "stored must name at least one variant"),
    "a variant without seeds": (
        plot_spread, ({"a": []}, "t", "u"), {}, "stored['a'] must be numbers of shape (S,)",
    ),
    "a lost seed": (
        plot_spread, ({"a": [1.0, float("nan")]}, "t", "u"), {}, "stored['a'] must be finite",
    ),
    "noise of one seed": (
        plot_spread, ({"a": [1.0]}, "t", "u"), {"noise_of": "a"},
        "noise_of must name a variant of two stored seeds or more, got 'a'",
    ),
    "noise of nothing": (
        plot_spread, ({"a": [1.0]}, "t", "u"), {"noise_of": "b"},
        "noise_of must name a variant of two stored seeds or more, got 'b'",
    ),
    "no way": (plot_frontier, ({}, "t"), {}, "sweeps must name at least one way"),
    "no setting": (plot_frontier, ({"a": {}}, "t"), {}, "sweeps must name at least one way"),
    "loss without balance": (
        plot_frontier, ({"a": {"1": [1.0, 2.0]}}, "t"), {},
        "sweeps['a']['1'] must be numbers of shape (S, P)",
    ),
    "three axes": (
        plot_frontier, ({"a": {"1": [(1.0, 2.0, 3.0)]}}, "t"), {},
        "a seed of sweeps['a']['1'] must have one entry for each axis, 2, got 3",
    ),
    "noise below zero": (
        plot_frontier, (SWEEPS, "t"), {"noise": -1.0},
        "noise must be a standard deviation of 0 or more, got -1.0",
    ),
    "no cost": (plot_costs, ({}, "t"), {}, "costs must name at least one cost"),
    "models that differ": (
        plot_costs, ({"a": {"x": 1.0}, "b": {"y": 1.0}}, "t"), {},
        "costs['b'] must name the same models as 'a', ['x'], got ['y']",
    ),
    "a live cost that is none": (
        plot_costs, ({"a": {"x": 1.0}}, "t"), {"live": {"b": {"x": 1.0}}},
        "live must name costs of ['a'], got 'b'",
    ),
    "a live model that is none": (
        plot_costs, ({"a": {"x": 1.0}}, "t"), {"live": {"a": {"y": 1.0}}},
        "live['a'] must name models of ['x'], got 'y'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence_and_opens_no_figure(function, arguments, options, message):
    # Without the shape checker of this test run, which a learner's kernel does not have.
    with pytest.raises(ValueError) as caught:
        inspect.unwrap(function)(*arguments, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
