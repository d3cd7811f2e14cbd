"""Pictures of attention: what they show, and that they are whole and legible."""

import inspect
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from helpers.plots.attention_plots import (
    plot_attention_maps,
    plot_bandwidth,
    plot_cache_growth,
    plot_cosine_over_rank,
)
from tests.unit.helpers.plots.pictures import is_cut_off, opens_one_figure_and_says, picture_of

A_TOKEN = {"MHA": 2_621_440, "GQA": 327_680, "MLA": 70_272}
CONTEXTS = [1024, 8192, 131_072]
COSINES = {"SVD": [0.87, 0.92, 0.96], "PCA": [0.95, 0.984, 0.995]}
RANKS = [16, 32, 51]
CONTROLS = {"random weights": 0.01, "random attention": 0.59}
READ = {"MHA": 134_217_728, "absorbed": 18_874_368}
TIMES = {"absorbed": 5.9, "MHA": 16.0}  # in another order than READ
TOKENS = ["The", " $cat$", " sat", ".\n"]


def attention(heads: int, length: int) -> torch.Tensor:
    scores = torch.randn(heads, length, length, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(length, length).triu(1) > 0, -torch.inf).softmax(-1)


WEIGHTS = attention(3, 4)

PICTURES = {
    "growth": lambda: plot_cache_growth(A_TOKEN, CONTEXTS, "finding"),
    "small growth": lambda: plot_cache_growth({"toy": 2}, range(1, 500), "finding"),
    "cosine": lambda: plot_cosine_over_rank(
        COSINES, RANKS, "finding", full_width=256, controls=CONTROLS
    ),
    "cosine alone": lambda: plot_cosine_over_rank(COSINES, RANKS, "finding", full_width=64),
    "bandwidth": lambda: plot_bandwidth(READ, TIMES, 9.7, "finding"),
    "one head": lambda: plot_attention_maps(WEIGHTS[:1], TOKENS, "finding"),
    "five heads": lambda: plot_attention_maps(attention(5, 24), ["word"] * 24, "finding"),
    "many tokens": lambda: plot_attention_maps(attention(8, 60), ["word"] * 60, "finding"),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


def texts(ax) -> list[str]:
    return [text.get_text().strip() for text in ax.texts]


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.fixture(scope="module", params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return picture_of(request.param)


def test_a_plot_opens_one_figure_returns_nothing_and_says_the_finding(picture):
    assert opens_one_figure_and_says(picture, "finding")


def test_axes_have_names_in_words(picture):
    figure = picture.figure
    shared = [figure.get_supxlabel(), figure.get_supylabel()]
    for ax in figure.axes:
        names = [ax.get_xlabel(), ax.get_ylabel(), *shared]
        assert any(re.fullmatch(r"[A-Za-z].*", name) for name in names)


def test_nothing_is_cut_off(picture):
    assert not is_cut_off(picture.figure)


def overlaps(labels) -> bool:
    boxes = [text.get_window_extent() for text in labels if text.get_text()]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_no_label_lies_on_another(picture):
    for ax in picture.figure.axes:
        shown = [
            label for label in ax.get_xticklabels() if ax.xaxis.get_tick_params()["labelbottom"]
        ]
        assert not overlaps(shown) and not overlaps(ax.get_yticklabels())
        assert not overlaps([text for text in ax.texts if text.get_text().strip()])


def test_a_given_ax_and_a_given_figure_are_used(ax):
    plot_cache_growth(A_TOKEN, CONTEXTS, "finding", ax=ax)
    plot_cosine_over_rank(COSINES, RANKS, "finding", full_width=256, ax=ax)
    plot_bandwidth(READ, TIMES, 9.7, "finding", figure=plt.figure(7, layout="constrained"))
    plot_attention_maps(WEIGHTS, TOKENS, "finding", figure=plt.figure(8))
    assert plt.get_fignums() == [ax.figure.number, 7, 8]


def test_cache_lines_are_gb_over_context_with_their_value_at_the_end(ax):
    plot_cache_growth(A_TOKEN, CONTEXTS, "finding", ax=ax)
    lines = ax.get_lines()[:3]
    for line, size in zip(lines, A_TOKEN.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.array(CONTEXTS) * size / 1e9)
    assert len({(line.get_linestyle(), line.get_color()) for line in lines}) == 3
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ticks(ax.xaxis) == ["1,024", "8,192", "131,072"]
    assert set(texts(ax)) == {
        "MHA, 344 GB", "GQA, 42.9 GB", "MLA, 9.21 GB", "memory of a consumer card, 24 GB",
    }  # fmt: skip


def test_a_cache_that_fits_any_card_is_drawn_without_one(ax):
    plot_cache_growth({"toy": 70_272}, CONTEXTS, "finding", ax=ax)
    assert texts(ax) == ["toy, 9.21 GB"] and len(ax.get_lines()) == 1


def test_labels_of_equal_ends_stand_apart_in_order(ax):
    near = {f"way {i}": 1000 + i for i in range(9)}
    plot_cache_growth(near, CONTEXTS, "finding", ax=ax)
    heights = [text.get_position()[1] for text in ax.texts]
    assert texts(ax) == [f"way {i}, {(1000 + i) * 131_072 / 1e9:.3g} GB" for i in range(9)]
    assert (np.diff(heights) > 0.06).all() and max(heights) <= 1


def test_contexts_come_in_any_order(ax):
    plot_cache_growth({"toy": 1000}, CONTEXTS[::-1], "finding", ax=ax)
    assert ax.get_lines()[0].get_xdata().tolist() == CONTEXTS


def test_cosine_lines_have_compression_at_their_widths(ax):
    plot_cosine_over_rank(COSINES, RANKS, "finding", full_width=256, controls=CONTROLS, ax=ax)
    methods, levels = ax.get_lines()[:2], ax.get_lines()[2:]
    for line, cosines in zip(methods, COSINES.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), cosines, rtol=1e-6)
    assert [line.get_xdata().tolist() for line in methods] == [RANKS, RANKS]
    assert ticks(ax.xaxis) == ["16\n16x", "32\n8x", "51\n5x"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(COSINES)
    assert [line.get_ydata()[0] for line in levels] == pytest.approx([0.01, 0.59, 0.95])
    assert texts(ax) == ["random weights, 0.01", "random attention, 0.59", "target, 0.95"]


def test_widths_come_in_any_order_and_near_ones_keep_their_names(ax):
    curve = {"PCA": [0.99, 0.98, 0.97, 0.9]}
    plot_cosine_over_rank(curve, [64, 51, 32, 16], "finding", full_width=256, ax=ax)
    assert ticks(ax.xaxis) == ["16\n16x", "32\n8x", "51\n5x", "64\n4x"]
    assert ax.get_lines()[0].get_xdata().tolist() == [64, 51, 32, 16]


def test_of_many_contexts_at_most_eight_are_named(ax):
    plot_cache_growth({"toy": 1000}, [2**i for i in range(4, 20)], "finding", ax=ax)
    assert ticks(ax.xaxis) == ["16", "128", "1,024", "8,192", "65,536", "524,288"]


def test_the_target_is_drawn_where_it_is_set(ax):
    plot_cosine_over_rank(COSINES, RANKS, "finding", full_width=256, target=0.9, ax=ax)
    assert texts(ax) == ["target, 0.90"] and ax.get_lines()[-1].get_ydata()[0] == pytest.approx(0.9)


def test_cosines_may_be_tensors(ax):
    curve = torch.tensor([0.5, 0.75, 1.0])
    plot_cosine_over_rank({"PCA": curve}, RANKS, "finding", full_width=256, ax=ax)
    assert ax.get_lines()[0].get_ydata().tolist() == curve.tolist()


def test_bandwidth_bars_are_mb_and_gb_a_second_of_the_same_way():
    plot_bandwidth(READ, TIMES, 9.7, "finding")
    left, right = plt.gcf().axes
    assert ticks(left.yaxis) == list(READ) and left.get_xscale() == "log"
    assert texts(left) == ["134", "18.9"] and texts(right) == ["8.39", "3.2"]
    widths = [bar.get_width() for bar in right.containers[0]]
    np.testing.assert_allclose(widths, [134.217728 / 16.0, 18.874368 / 5.9])
    assert right.get_lines()[0].get_xdata()[0] == pytest.approx(9.7)
    (legend,) = plt.gcf().legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain copy, 9.7 GB/s"]


def test_a_slow_copy_is_inside_the_panel_and_so_is_a_fast_one():
    for copy in (0.1, 100.0):
        figure = plt.figure(layout="constrained")
        plot_bandwidth(READ, TIMES, copy, "finding", figure=figure)
        least, most = figure.axes[1].get_xlim()
        assert least < copy < most


def test_a_map_a_head_holds_its_weights_and_nothing_above_the_diagonal():
    plot_attention_maps(WEIGHTS, TOKENS, "finding")
    maps = plt.gcf().axes[:3]
    for head, ax in enumerate(maps):
        shown = np.ma.filled(ax.images[0].get_array(), np.nan)
        below = np.tril_indices(4)
        np.testing.assert_allclose(shown[below], WEIGHTS[head].numpy()[below])
        assert np.isnan(shown[np.triu_indices(4, 1)]).all()
        assert ax.get_title(loc="left") == f"head {head}"
    assert ticks(maps[0].xaxis) == ticks(maps[0].yaxis) == ["The", "$cat$", "sat", ".↵"]


def test_a_look_at_a_later_token_is_shown():
    plot_attention_maps(torch.full((1, 4, 4), 0.25), TOKENS, "finding")
    assert (plt.gcf().axes[0].images[0].get_array() == 0.25).all()


def test_all_heads_have_the_same_colours():
    plot_attention_maps(WEIGHTS * 0.5, TOKENS, "finding")
    assert {ax.images[0].get_clim() for ax in plt.gcf().axes[:3]} == {(0.0, 1.0)}


@pytest.mark.parametrize(("heads", "maps"), [(1, 1), (4, 4), (5, 5), (7, 7), (8, 8)])
def test_there_is_a_map_for_each_head_and_one_bar(heads, maps):
    plot_attention_maps(attention(heads, 4), TOKENS, "finding")
    assert len(plt.gcf().axes) == maps + 1


def test_more_than_twenty_four_tokens_have_numbers():
    plot_attention_maps(attention(1, 25), ["word"] * 25, "finding")
    plt.gcf().canvas.draw()
    assert "word" not in ticks(plt.gcf().axes[0].xaxis)


BAD = {
    "no model": (
        plot_cache_growth, ({}, CONTEXTS, "t"), {},
        "bytes_per_token must be numbers of shape (N,) with at least one in each",
    ),
    "a free cache": (
        plot_cache_growth, ({"a": 0}, CONTEXTS, "t"), {}, "bytes_per_token must be above 0, got 0",
    ),
    "no context": (
        plot_cache_growth, (A_TOKEN, [0, 4], "t"), {}, "contexts must be above 0, got 0",
    ),
    "a cosine for each rank": (
        plot_cosine_over_rank, (COSINES, [16, 32], "t"), {"full_width": 64},
        "cosines['SVD'] must have one entry for each rank, 2, got 3",
    ),
    "a cosine above one": (
        plot_cosine_over_rank, ({"PCA": [0.5, 1.5, 0.1]}, RANKS, "t"), {"full_width": 64},
        "cosines['PCA'] must be from -1 to 1, got 1.5",
    ),
    "no method": (
        plot_cosine_over_rank, ({}, RANKS, "t"), {"full_width": 64},
        "cosines must name at least one method, got none",
    ),
    "a latent wider than the whole": (
        plot_cosine_over_rank, (COSINES, RANKS, "t"), {"full_width": 32},
        "ranks must be from 1 to full_width=32, got 51",
    ),
    "a control that is no cosine": (
        plot_cosine_over_rank, (COSINES, RANKS, "t"), {"full_width": 64, "controls": {"a": -2.0}},
        "controls['a'] must be from -1 to 1, got -2",
    ),
    "a target that is no cosine": (
        plot_cosine_over_rank, (COSINES, RANKS, "t"), {"full_width": 64, "target": float("nan")},
        "target must be finite, got nan",
    ),
    "ways that differ": (
        plot_bandwidth, (READ, {"MHA": 1.0}, 9.7, "t"), {},
        "milliseconds must name the same ways as bytes_read, ['MHA', 'absorbed'], got ['MHA']",
    ),
    "no time": (
        plot_bandwidth, (READ, {"MHA": 1.0, "absorbed": 0.0}, 9.7, "t"), {},
        "milliseconds must be above 0, got 0",
    ),
    "no copy": (
        plot_bandwidth, (READ, TIMES, -1.0, "t"), {}, "copy_gb_per_second must be above 0, got -1",
    ),
    "one head without its axis": (
        plot_attention_maps, (WEIGHTS[0], TOKENS, "t"), {},
        "weights must be numbers of shape (H, L, L) with at least one in each, got shape (4, 4)",
    ),
    "more keys than queries": (
        plot_attention_maps, (WEIGHTS[:, :2], TOKENS, "t"), {},
        "weights must have as many keys as queries, got shape (3, 2, 4)",
    ),
    "nine heads": (
        plot_attention_maps, (attention(9, 4), TOKENS, "t"), {},
        "weights must have at most 8 heads, got 9",
    ),
    "scores for weights": (
        plot_attention_maps, (3 * WEIGHTS, TOKENS, "t"), {}, "weights must be from 0 to 1, got 3",
    ),
    "a token too few": (
        plot_attention_maps, (WEIGHTS, TOKENS[1:], "t"), {},
        "tokens must have one entry for each row of weights, 4, got 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence_and_opens_no_figure(function, arguments, options, message):
    # Without the shape checker of this test run, which a learner's kernel does not have.
    with pytest.raises(ValueError) as caught:
        inspect.unwrap(function)(*arguments, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert plt.get_fignums() == []
