import inspect
import io

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from matplotlib import image
from matplotlib.figure import Figure

from helpers.plots.explorers import (
    Explorer,
    bias_step_explorer,
    draw_bias_step_view,
    draw_router_view,
    router_explorer,
)

SCORES = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))


def pixels(explorer: Explorer) -> np.ndarray:
    return image.imread(io.BytesIO(explorer.picture.value))


def line(figure: Figure, height: float) -> None:
    if height > 4:
        raise ValueError("height must be\nat most 4 & no <more>")
    figure.subplots().axhline(height)


def line_explorer() -> Explorer:
    return Explorer(line, height=widgets.FloatSlider(1.0, min=0, max=5))


def test_a_moved_slider_redraws_the_picture():
    explorer = line_explorer()
    before = explorer.picture.value
    explorer.sliders["height"].value = 2.0
    assert explorer.picture.value != before
    explorer.sliders["height"].value = 1.0
    assert explorer.picture.value == before


def test_the_picture_starts_anew_each_time():
    explorer = line_explorer()
    explorer.sliders["height"].value = 2.0
    assert len(explorer.canvas.figure.axes) == 1


def test_sliders_message_and_picture_are_shown_in_that_order():
    explorer = line_explorer()
    assert explorer.children == (
        explorer.sliders["height"], explorer.message, explorer.picture,
    )  # fmt: skip


def test_an_error_is_shown_on_one_line_in_place_of_the_picture_and_goes_away():
    explorer = line_explorer()
    explorer.sliders["height"].value = 4.5
    shown = "ValueError: height must be at most 4 &amp; no &lt;more&gt;"
    assert explorer.message.value == f"<b>{shown}</b>"
    assert explorer.picture.layout.display == "none"
    explorer.sliders["height"].value = 2.0
    assert explorer.message.value == "" and explorer.picture.layout.display is None


def test_an_error_at_the_start_is_raised():
    with pytest.raises(ValueError, match="height must be"):
        Explorer(line, height=widgets.FloatSlider(4.5, min=0, max=5))


def test_what_a_notebook_stores_is_short_and_stable():
    first, second = (line_explorer()._repr_mimebundle_() for _ in range(2))
    assert first["text/plain"] == second["text/plain"] == "Explorer(height=1.0)"
    assert "application/vnd.jupyter.widget-view+json" in first
    assert first["image/png"] == second["image/png"]


def test_top_k_is_clamped_to_the_experts_without_an_error():
    explorer = router_explorer(SCORES)
    explorer.sliders["top_k"].value = 5
    messages = []
    explorer.message.observe(messages.append, names="value")
    explorer.sliders["num_experts"].value = 3
    assert explorer.values == {"num_experts": 3, "top_k": 3, "temperature": 1.0}
    assert messages == []
    explorer.sliders["num_experts"].value = 6
    assert explorer.sliders["top_k"].max == 6


def test_every_slider_of_the_router_changes_its_picture():
    explorer = router_explorer(SCORES)
    for name, value in {"num_experts": 4, "top_k": 3, "temperature": 0.3}.items():
        before = explorer.picture.value
        explorer.sliders[name].value = value
        assert explorer.picture.value != before and explorer.message.value == ""


def test_one_expert_is_a_picture_too():
    explorer = router_explorer(SCORES)
    explorer.sliders["num_experts"].value = 1
    assert explorer.message.value == "" and explorer.values["top_k"] == 1


def router_bars(**changes: float) -> list[float]:
    figure = Figure()
    draw_router_view(figure, SCORES, **{"num_experts": 5, "top_k": 2, "temperature": 1.0} | changes)
    return [bar.get_height() for bar in figure.axes[0].containers[0]]


def test_the_router_view_counts_each_tokens_highest_scores():
    wanted = torch.zeros(5)
    for row in SCORES[:, :5]:
        for expert in sorted(range(5), key=lambda e: -row[e])[:2]:
            wanted[expert] += 1
    assert router_bars() == wanted.tolist()


def test_temperature_changes_the_gates_and_never_the_choice():
    assert router_bars(temperature=0.1) == router_bars(temperature=10.0)


def bias_cv(step: float) -> tuple[list[float], float]:
    """The CV of each batch, and the upper edge of chance."""
    figure = Figure()
    draw_bias_step_view(figure, step)
    ax = figure.axes[0]
    chance = ax.patches[0].get_extents().transformed(ax.transData.inverted()).y1
    return list(ax.get_lines()[0].get_ydata()), chance


def test_a_bias_step_is_too_small_right_or_too_large():
    small, right, large = (bias_cv(step) for step in (0.0001, 0.003, 0.1))
    last = [sum(cv[-80:]) / 80 / chance for cv, chance in (small, right, large)]
    assert last[1] < 1.25 < min(last[0], last[2])


def test_no_explorer_opens_on_its_answer_or_says_it():
    assert bias_step_explorer().values["step"] < 0.001
    for step in (0.0001, 0.003, 0.1):
        figure = Figure()
        draw_bias_step_view(figure, step)
        titles = [ax.get_title(loc="left") for ax in figure.axes]
        assert titles == [f"Balance of each batch, step {step:.2g}", "Bias of each expert"]


def test_the_bias_step_explorer_follows_its_slider():
    explorer = bias_step_explorer()
    before = explorer.picture.value
    explorer.sliders["step"].value = 0.1
    assert explorer.picture.value != before and explorer.message.value == ""


def test_nothing_is_cut_off():
    for explorer in (router_explorer(SCORES), bias_step_explorer()):
        shown = pixels(explorer)[..., :3]
        edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
        assert (edge == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts": 7}, "num_experts must be between 1 and the 6 columns of scores, got 7"),
        ({"top_k": 6}, "top_k must be between 1 and num_experts=5, got 6"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"scores": torch.zeros(3)}, r"scores must be numbers of shape \(T, E\)"),
    ],
)
def test_the_router_view_names_what_is_wrong(changes, message):
    given = {"scores": SCORES, "num_experts": 5, "top_k": 2, "temperature": 1.0} | changes
    # Without the shape checker of this test run, which a learner's kernel does not have.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(draw_router_view)(Figure(), **given)


@pytest.mark.parametrize("step", [0.0, -0.1, float("nan"), 10.0])
def test_the_bias_view_names_what_is_wrong(step):
    with pytest.raises(ValueError, match="step must be above 0 and below 10, got"):
        draw_bias_step_view(Figure(), step)
