"""Pictures of the memory that models occupy."""

import inspect

import pytest
from matplotlib import pyplot as plt

from helpers.plots.story_plots import plot_memory, plot_memory_stack
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

STACK = {
    "dense": {"weights": 1.0, "gradients": 1.0, "Adam's two moments": 2.0},
    "mixture": {"weights": 300.0, "gradients": 300.0, "Adam's two moments": 600.0},
}

PICTURES = {
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


def test_a_stack_begins_at_zero_and_ends_at_its_sum():
    plot_memory_stack(STACK, "finding")
    (ax,) = plt.gcf().axes
    ends = [[bar.get_x() + bar.get_width() for bar in kind] for kind in ax.containers]
    assert ends == [[1.0, 300.0], [2.0, 600.0], [4.0, 1200.0]]
    assert ax.get_xlim()[0] == 0
    assert [text.get_text().strip() for text in ax.texts] == ["4 MB", "1,200 MB"]
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 3


BAD = {
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
