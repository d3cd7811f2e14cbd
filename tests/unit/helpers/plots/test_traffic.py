"""Pictures of loads, losses and texts: what they show, and that they are whole and legible."""

import inspect
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from helpers.plots.coloured_text import colour_text
from helpers.plots.curve_plots import (
    plot_balance,
    plot_bias_paths,
    plot_differences,
    plot_losses,
    plot_times,
)
from helpers.plots.load_plots import plot_load, plot_load_before_after
from helpers.plots.palette import text_background
from helpers.plots.traffic_plots import plot_domain_traffic, plot_token_experts, plot_traffic_maps
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

LOAD = torch.tensor([100, 30, 35, 35])
PIECES = ["The", " $cat$", " <b>", "\n"]
GATES = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.5, 0.5]])
EXPERTS = torch.tensor([[0, 2], [1, 0], [2, 1], [2, 0]])
HISTORY = {
    "none": {"cv": [1.0, 0.9, 0.8], "max_violation": [2.0, 1.9, 1.8]},
    "bias": {"cv": [1.0, 0.3, 0.1], "max_violation": [2.0, 0.6, 0.2]},
}
PATHS = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.7, 0.9], [0.5, 0.7, 1.2]])
TIMES = {"loop": [10.0, 40.0], "sorted": [1.0, 2.0]}

PICTURES = {
    "load": lambda: plot_load(LOAD, 2, 100, "finding"),
    "before and after": lambda: plot_load_before_after({"a": LOAD, "b": LOAD}, 2, 100, "finding"),
    "tokens": lambda: plot_token_experts(PIECES, GATES, EXPERTS, 3, "finding"),
    "domains": lambda: plot_domain_traffic(torch.rand(2, 40), ["prose", "code"], "finding"),
    "losses": lambda: plot_losses({"MoE": [3.0, 2.0, 1.5]}, "finding"),
    "differences": lambda: plot_differences({"a": [3.0, 2.0], "b": [3, 1.9]}, "a", "finding"),
    "balance": lambda: plot_balance(HISTORY, 0.05, "finding"),
    "balance and both chances": lambda: plot_balance(HISTORY, 0.05, "finding", None, 0.1),
    "maps": lambda: plot_traffic_maps(
        {"trained": torch.rand(2, 8), "untrained": torch.rand(2, 8)}, ["a", "b"], "finding"
    ),
    "bias": lambda: plot_bias_paths(PATHS, "finding", frozen_from=1),
    "times": lambda: plot_times({"loop": 10.0, "sorted": 1.0}, "finding"),
    "times over sizes": lambda: plot_times(TIMES, "finding", sizes=[64, 256]),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture(scope="module", params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return picture_of(request.param)


def test_a_plot_opens_one_figure_returns_nothing_and_says_the_finding(picture):
    assert opens_one_figure_and_says(picture, "finding")


def test_axes_have_names_in_words(picture):
    for ax in picture.figure.axes:
        names = [ax.get_xlabel(), ax.get_ylabel()]
        assert any(re.fullmatch(r"[A-Za-z].*", name) for name in names)


def test_nothing_is_cut_off(picture):
    assert not is_cut_off(picture.figure)


def test_a_given_ax_is_used(ax):
    plot_load(LOAD, 2, 100, "finding", ax=ax)
    assert plt.get_fignums() == [ax.figure.number]


def test_load_bars_are_the_load_and_those_outside_chance_are_hatched(ax):
    plot_load(LOAD, 2, 100, "finding", ax=ax)
    (bars,) = ax.containers
    assert [bar.get_height() for bar in bars] == LOAD.tolist()
    assert [bool(bar.get_hatch()) for bar in bars] == [True, True, True, True]
    assert any("even share, 50" in label for label in legend(ax))
    assert any("CV 0.58" in text for text in texts(ax))


def test_a_load_within_chance_is_not_hatched(ax):
    plot_load(torch.tensor([50, 45, 55, 50]), 2, 100, "finding", ax=ax)
    assert not any(bar.get_hatch() for bar in ax.containers[0])


def test_loads_side_by_side_share_their_scale():
    plot_load_before_after({"before": LOAD, "after": torch.full((4,), 50)}, 2, 100, "finding")
    first, second = plt.gcf().axes
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[1] > LOAD.max()


def test_a_token_row_shows_its_gates_in_its_experts_columns(ax):
    plot_token_experts(PIECES, GATES, EXPERTS, 3, "finding", ax=ax)
    image = ax.images[0].get_array()
    assert image[0, 0] == pytest.approx(0.9) and image[0, 2] == pytest.approx(0.1)
    assert image.mask[0, 1] if np.ma.isMaskedArray(image) else np.isnan(image[0, 1])
    assert sorted(texts(ax)) == sorted(f"{gate:.2f}" for gate in GATES.flatten())
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["The", "·$cat$", "·<b>", "↵"]
    assert ax.get_xlabel() == "expert\n· is a space, ↵ is a line's end"


def test_domain_traffic_is_relative_to_the_even_share(ax):
    counts = torch.tensor([[30, 10, 0, 0], [5, 5, 5, 5]])
    plot_domain_traffic(counts, ["prose", "code"], "finding", ax=ax)
    np.testing.assert_allclose(ax.images[0].get_array(), [[3, 1, 0, 0], [1, 1, 1, 1]])
    assert len(texts(ax)) == counts.numel()


def test_maps_beside_each_other_have_one_scale():
    maps = {"trained": torch.tensor([[7.0, 1.0]]), "untrained": torch.tensor([[1.0, 1.1]])}
    plot_traffic_maps(maps, ["code"], "finding")
    first, second = plt.gcf().axes[:2]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0.0, 2.0)
    np.testing.assert_allclose(first.images[0].get_array(), [[1.75, 0.25]])


def test_sixty_four_experts_get_no_numbers(ax):
    plot_domain_traffic(torch.ones(2, 64), ["layer 1", "layer 2"], "finding", "layer", ax=ax)
    assert texts(ax) == [] and ax.get_ylabel() == "layer"


def test_the_smoothed_loss_is_centred_and_the_last_value_names_its_window(ax):
    falling = [float(x) for x in range(30, 0, -1)]
    plot_losses({"MoE": falling}, "finding", smooth=5, ax=ax)
    raw, smoothed = ax.get_lines()
    assert raw.get_ydata().tolist() == falling
    assert smoothed.get_xdata().tolist() == list(range(2, 28))
    np.testing.assert_allclose(smoothed.get_ydata(), falling[2:-2])  # a trailing one lies above
    assert legend(ax) == ["MoE, last 10 steps: 5.50"]


def test_a_short_run_is_smoothed_over_what_it_has(ax):
    plot_losses({"MoE": [9.0, 0.0, 0.0, 3.0, 0.0]}, "finding", smooth=20, ax=ax)
    np.testing.assert_allclose(ax.get_lines()[1].get_xydata(), [(2, 2.4)])
    assert legend(ax) == ["MoE, last 5 steps: 2.40"]


def test_differences_are_of_the_same_step_and_the_baseline_is_the_line_at_zero(ax):
    runs = {"none": [5.0, 4.0, 3.0], "bias": [5.0, 4.25, 3.25]}
    plot_differences(runs, "none", "finding", smooth=1, ax=ax)
    raw, _, zero = ax.get_lines()
    assert raw.get_ydata().tolist() == [0.0, 0.25, 0.25]
    assert zero.get_ydata() == [0, 0]
    assert legend(ax) == ["bias, last 3 steps: +0.167", "none"]


def test_lines_differ_without_colour():
    plot_balance(HISTORY, 0.05, "finding")
    for ax in plt.gcf().axes:
        runs = [line for line in ax.get_lines() if line.get_label() in HISTORY]
        assert len({line.get_linestyle() for line in runs}) == len(HISTORY)


def test_chance_is_drawn_in_both_panels_of_the_balance():
    plot_balance(HISTORY, 0.05, "finding", max_violation_floor=0.11)
    assert [texts(ax) for ax in plt.gcf().axes] == [["pure chance, 0.05"], ["pure chance, 0.11"]]


def test_bias_is_centred_and_its_extremes_are_named(ax):
    plot_bias_paths(PATHS, "finding", frozen_from=1, ax=ax)
    ends = [path.vertices[-1, 1] for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(ends, [-0.3, -0.1, 0.4], atol=1e-6)
    assert [text.strip() for text in texts(ax)] == ["expert 0", "expert 2"]


def test_time_bars_carry_their_milliseconds(ax):
    plot_times({"loop": 412.0, "sorted": 19.5}, "finding", ax=ax)
    assert [text.strip() for text in texts(ax)] == ["412 ms", "19.5 ms"]


def test_times_over_sizes_have_two_logarithmic_axes(ax):
    plot_times(TIMES, "finding", sizes=[64, 256], ax=ax)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["64", "256"]


class Visible(HTMLParser):
    """The text a reader sees, without the expert numbers below the line."""

    def __init__(self):
        super().__init__()
        self.text, self.sub, self.pre = "", False, False

    def handle_starttag(self, tag, attrs):
        self.sub, self.pre = tag == "sub", self.pre or tag == "pre"

    def handle_endtag(self, tag):
        self.sub, self.pre = False, self.pre and tag != "pre"

    def handle_data(self, data):
        self.text += data if self.pre and not self.sub else ""


HOSTILE = ["if", " a<b", " &amp;", "\n    ", "<script>", '"', "x\n", "\n\n", "é"]


def test_coloured_text_shows_exactly_the_text():
    page = colour_text(HOSTILE, torch.arange(9), 9)._repr_html_()
    reader = Visible()
    reader.feed(page)
    assert reader.text == "".join(HOSTILE)
    assert "<script" not in page


def test_coloured_text_has_colour_number_and_tooltip_of_each_expert():
    page = colour_text(["a", " b"], torch.tensor([0, 11]), 16)._repr_html_()
    for expert in (0, 11):
        assert f"<sub>{expert}</sub>" in page and f'title="expert {expert}"' in page
        assert text_background(expert) in page


def test_a_line_ends_number_stands_apart_from_the_token_before():
    page = colour_text(["a", "\n"], torch.tensor([1, 2]), 4)._repr_html_()
    assert "<sub>1</sub>" in page and "<sub>↵2</sub></span>\n" in page


def test_a_word_carries_its_experts_once_at_its_end():
    text = colour_text(["M", "ila", " the", " f", "ox", "."], torch.tensor([2, 0, 1, 3, 3, 2]), 4)
    assert repr(text) == "Mila/2,0 the/1 fox/3./2"
    page = text._repr_html_()
    assert page.count("<sub>") == 4 and "<sub>2,0</sub>" in page and "<sub>3</sub>" in page
    assert page.count(text_background(3)) == 3  # both tokens of fox, and the legend


def test_coloured_text_in_a_terminal():
    text = colour_text(["The", " cat", " sat", ".\n", "Ok"], torch.tensor([3, 1, 0, 2, 1]), 4)
    assert repr(text) == "The/3 cat/1 sat/0./2\nOk/1"


def test_coloured_text_is_the_same_every_time():
    first, second = (colour_text(["a", "b"], torch.tensor([1, 0]), 2) for _ in range(2))
    assert first == second
    assert first._repr_html_() == second._repr_html_() and "0x" not in repr(first)


@pytest.mark.parametrize("expert", range(24))
def test_black_text_is_legible_on_every_background(expert):
    channels = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(text_background(expert))
    ]
    luminance = float(np.dot(channels, [0.2126, 0.7152, 0.0722]))
    assert (luminance + 0.05) / 0.05 > 7  # WCAG's highest demand


def test_sixteen_experts_have_sixteen_backgrounds():
    assert len({text_background(expert) for expert in range(16)}) == 16


FLOAT_LOAD = torch.ones(2, 4)
BAD = {
    "misshapen load": (
        plot_load, (FLOAT_LOAD, 2, 100, "t"),
        "load must be numbers of shape (E,) with at least one in each, got shape (2, 4)",
    ),
    "empty load": (
        plot_load, (torch.zeros(0), 2, 100, "t"),
        "load must be numbers of shape (E,) with at least one in each, got shape (0,)",
    ),
    "no load": (plot_load, (None, 2, 100, "t"), "load must be numbers of shape (E,), got"),
    "unused experts": (
        plot_load, (torch.zeros(4), 2, 100, "t"),
        "load must hold from 1 to top_k * tokens = 200 choices",
    ),
    "more choices than there are": (
        plot_load, (LOAD, 1, 100, "t"),
        "load must hold from 1 to top_k * tokens = 100 choices",
    ),
    "K above E": (
        plot_load, (LOAD, 5, 100, "t"), "top_k must be between 1 and num_experts=4, got 5",
    ),
    "NaN": (
        plot_load, (torch.tensor([1.0, float("nan")]), 1, 100, "t"),
        "load must be finite, got nan",
    ),
    "one load": (
        plot_load_before_after, ({"a": LOAD}, 2, 100, "t"),
        "loads must name at least two loads",
    ),
    "an expert too high": (
        plot_token_experts, (PIECES, GATES, EXPERTS, 2, "t"),
        "experts must hold whole numbers from 0 to num_experts - 1 = 1, got 2",
    ),
    "gates of another shape": (
        plot_token_experts, (PIECES, GATES[:, :1], EXPERTS, 3, "t"),
        "gates and experts must have the same shape, got (4, 1) and (4, 2)",
    ),
    "too few pieces": (
        plot_token_experts, (PIECES[:3], GATES, EXPERTS, 3, "t"),
        "pieces must have one entry for each row of gates, 4, got 3",
    ),
    "too many pieces": (
        plot_token_experts, (PIECES * 9, GATES.repeat(9, 1), EXPERTS.repeat(9, 1), 3, "t"),
        "pieces must be at most 32 to be read, got 36",
    ),
    "an empty domain": (
        plot_domain_traffic, (torch.tensor([[1, 2], [0, 0]]), ["a", "b"], "t"),
        "shares must be 0 or more, with some traffic in every row, and row 1 is not",
    ),
    "a nameless domain": (
        plot_domain_traffic, (torch.ones(2, 3), ["a"], "t"),
        "domains must have one entry for each row of shares, 2, got 1",
    ),
    "no loss": (plot_losses, ({}, "t"), "losses must name at least one curve, got none"),
    "an empty loss": (
        plot_losses, ({"MoE": []}, "t"), "losses['MoE'] must be numbers of shape (S,)",
    ),
    "no smoothing": (
        plot_losses, ({"MoE": [1.0]}, "t", 0), "smooth must be at least 1 step, got 0",
    ),
    "a run without its baseline": (
        plot_differences, ({"a": [1.0]}, "b", "t"), "losses must have the baseline 'b', got ['a']",
    ),
    "nothing beside the baseline": (
        plot_differences, ({"a": [1.0]}, "a", "t"), "losses must have a run beside the baseline",
    ),
    "runs of other lengths": (
        plot_differences, ({"a": [1.0], "b": [1.0, 2.0]}, "a", "t"),
        "losses['b'] must have one entry for each step of 'a', 1, got 2",
    ),
    "no map": (plot_traffic_maps, ({}, ["a"], "t"), "maps must name at least one map, got none"),
    "a map with a row too many": (
        plot_traffic_maps, ({"m": torch.ones(2, 3)}, ["a"], "t"),
        "rows must have one entry for each row of maps['m'], 2, got 1",
    ),
    "a chance of MaxVio below zero": (
        plot_balance, (HISTORY, 0.1, "t", None, -1.0),
        "max_violation_floor must be a MaxVio of 0 or more, got -1.0",
    ),
    "no MaxVio": (
        plot_balance, ({"bias": {"cv": [1.0]}}, 0.1, "t"),
        "history['bias'] must have 'max_violation', got ['cv']",
    ),
    "a floor below zero": (
        plot_balance, (HISTORY, -0.1, "t"), "floor must be a CV of 0 or more, got -0.1",
    ),
    "frozen after the end": (
        plot_bias_paths, (PATHS, "t", 3), "frozen_from must be a step from 0 to 2, got 3",
    ),
    "a time for each size": (
        plot_times, (TIMES, "t", [1, 2, 3]),
        "times['loop'] must have one entry for each size, 3, got 2",
    ),
    "no time at all": (
        plot_times, ({"loop": 0.0}, "t"), "times must be above 0 milliseconds, got 0",
    ),
    "text and experts apart": (
        colour_text, (["a"], torch.tensor([0, 1]), 2),
        "pieces must have one entry for each token of experts, 2, got 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence(function, arguments, message):
    # Without the shape checker of this test run, which a learner's kernel does not have.
    as_a_learner_calls_it = inspect.unwrap(function)
    with pytest.raises(ValueError) as caught:
        as_a_learner_calls_it(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
