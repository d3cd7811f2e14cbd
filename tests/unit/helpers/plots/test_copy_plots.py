"""The picture of what a story model copies."""

import pytest
from matplotlib import pyplot as plt

from helpers.plots.copy_plots import plot_right_copies
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of


def moments(late: int) -> list[dict]:
    """Names are copied from step 100 on, colours from `late` on."""
    seen = [
        {"step": step, "copies": {"names": float(step >= 100), "colours": float(step >= late)}}
        for step in (0, 100, 200)
    ]
    return [seen[0], *(of | {"coherent": of["copies"]["colours"]} for of in seen[1:])]


GUESSED = {"names": 0.5, "colours": 0.97}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("more", [{}, {"stored": [moments(100)], "guessed": GUESSED}])
def test_one_whole_figure_that_says_the_finding(more):
    picture = picture_of(lambda: plot_right_copies(moments(200), "finding", **more))
    assert opens_one_figure_and_says(picture, "finding")
    assert not is_cut_off(picture.figure)


def test_curves_are_those_of_the_run_beside_stored_ones_and_a_guess():
    plot_right_copies(moments(200), "finding", stored=[moments(100)], guessed=GUESSED)
    top, below = plt.gcf().axes
    drawn = [line.get_ydata() for line in top.get_lines() if len(line.get_ydata()) == 3]
    assert [list(y) for y in drawn] == [[0, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1]]
    levels = {line.get_ydata()[0] for line in top.get_lines() if len(line.get_ydata()) == 2}
    assert levels == {0.5, 0.97}
    assert [list(line.get_xdata()) for line in below.get_lines()] == [[100, 200], [100, 200]]


def test_a_run_without_moments_is_refused():
    with pytest.raises(ValueError, match="at least one moment"):
        plot_right_copies([], "finding")
