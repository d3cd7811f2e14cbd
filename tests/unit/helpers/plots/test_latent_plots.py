"""Loss over cache: the picture is whole, names its settings and tells seeds run here apart."""

import pytest
from matplotlib import pyplot as plt

from helpers.plots.latent_plots import plot_loss_over_cache
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

FAMILIES = {
    "heads shared": {"MQA": (64, [1.1, 1.08, 1.12]), "MHA": (256, [1.0, 0.98, 1.01])},
    "one latent": {"latent 8": (32, [1.12, 1.13]), "latent 24": (64, [1.09, 1.1])},
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_the_picture_is_whole_and_names_what_it_shows():
    live = {"one latent": (64, [1.07])}
    picture = picture_of(lambda: plot_loss_over_cache(FAMILIES, "finding", live))
    assert opens_one_figure_and_says(picture, "finding")
    assert not is_cut_off(picture.figure)
    (ax,) = picture.figure.axes
    assert {text.get_text() for text in ax.texts} == {"MQA", "MHA", "latent 8", "latent 24"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["32", "64", "256"]
    (here,) = [line for line in ax.lines if line.get_label() == "one latent, run here"]
    assert here.get_xydata().tolist() == [[64, 1.07]]


def test_lines_go_through_the_means_of_the_seeds():
    _, ax = plt.subplots()
    plot_loss_over_cache(FAMILIES, "finding", ax=ax)
    (line,) = [line for line in ax.lines if line.get_label().startswith("heads shared, mean")]
    assert line.get_xdata().tolist() == [64, 256]
    assert line.get_ydata().tolist() == pytest.approx([1.1, 2.99 / 3])


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one family"):
        plot_loss_over_cache({}, "finding")
