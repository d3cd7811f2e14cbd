"""What all plots share: one look per name, one way to count, plain numbers."""

import re

import pytest

from course import ROOT
from helpers.plots import palette
from helpers.plots.palette import key_to, layer_name, name_marker, name_style, plain, visible


def test_a_name_keeps_its_look_whatever_is_drawn_between():
    before = name_style("token segments"), name_marker("token segments")
    for name in ("MoE", "dense", "some other", "fine experts"):
        name_style(name)
    assert (name_style("token segments"), name_marker("token segments")) == before


def test_seven_names_have_seven_colours_and_more_still_differ():
    looks = [name_style(f"run {i}") for i in range(20)]
    assert len({look["color"] for look in looks[:7]}) == 7
    assert len({look["linestyle"] for look in looks[:7]}) == 7
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 20


def test_a_known_name_looks_the_same_in_every_lesson():
    alone = name_style("bias")
    palette._places.clear()
    for name in ("none", "Switch's loss", "bias + V3's loss", "leak"):
        assert name_style(name) != alone
    assert name_style("bias") == alone


def test_layers_count_from_one_and_experts_and_heads_from_zero():
    assert layer_name(0) == "layer 1"
    texts = [*(ROOT / "lessons").glob("*.py"), *(ROOT / "helpers" / "plots").glob("*.py")]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"layer 0\b", text, re.IGNORECASE), path
        assert not re.search(r"(expert|head) \{\w+ \+ 1\}", text), path


@pytest.mark.parametrize(
    ("value", "text"),
    [(1299.0, "1,299"), (8630.4, "8,630"), (19.53, "19.5"), (0.003124, "0.00312"), (2.0, "2")],
)
def test_a_number_is_written_without_powers_of_ten(value, text):
    assert plain(value) == text


def test_marks_in_tokens_are_explained_where_they_stand():
    assert visible(" a\n") == "·a↵"
    assert key_to(["·a"]) == "\n· is a space"
    assert key_to(["a", "↵", "⇥"]) == "\n↵ is a line's end, ⇥ is a tab"
    assert key_to(["a"]) == ""
