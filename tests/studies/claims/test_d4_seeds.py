"""What D4 claims of its stories, over seeds."""

import re

import pytest

from course import ROOT
from helpers.model.deepseek_config import DeepSeekConfig
from lessons import stored_studies as stored
from solutions.d4_deepseek import count_parameters
from tests.studies.d4_seeds import DENSE, SMALL, STEPS

LESSON = ROOT / "lessons" / "d4_deepseek.py"


def test_it_writes_stories_that_hold_together(row) -> None:
    assert row["mixture"]["coherent"] >= 0.9


def test_it_writes_stories_of_its_own(row) -> None:
    for model in (row["mixture"], row["dense"]):
        assert model["distinct"] >= 150
        assert model["copied"] == 0


def test_it_predicts_better_than_a_table_of_pairs(row) -> None:
    for model in (row["mixture"], row["dense"]):
        assert model["held_out"] < row["bigram"]


def test_every_layer_is_balanced(row) -> None:
    assert max(row["mixture"]["cvs"]) < 0.1


def test_the_rival_predicts_as_well_on_most_seeds() -> None:
    rows = stored.rows("d4_seeds")
    near = [abs(row["mixture"]["held_out"] - row["dense"]["held_out"]) < 0.01 for row in rows]
    assert sum(near) > len(near) / 2


def test_where_the_rival_copies_names_its_stories_break_by_colours() -> None:
    """What D4 says of copying: a sort of word that is still missing hardly shows in the loss."""
    (late,) = [row["dense"] for row in stored.rows("d4_seeds") if row["dense"]["coherent"] < 0.9]
    assert late["told"] < 0.02
    broken = late["count"] * (1 - late["coherent"])
    assert late["problems"]["colour"] > 0.8 * broken
    assert all(row["mixture"]["problems"].get("colour", 0) < 5 for row in stored.rows("d4_seeds"))


def test_a_late_jump_shows_little_in_the_loss() -> None:
    late = max((row["dense"] for row in stored.rows("d4_seeds")), key=lambda of: of["held_out"])
    others = [row["mixture"]["held_out"] for row in stored.rows("d4_seeds")]
    assert late["coherent"] < 0.5
    assert 0.02 < late["held_out"] - max(others) < 0.05


def test_the_rival_of_two_seeds_reaches_the_same_loss() -> None:
    off = [
        abs(row["mixture"]["held_out"] - row["dense"]["held_out"])
        for row in stored.rows("d4_seeds")
    ]
    assert [seed for seed, by in enumerate(off) if by < 0.002] == [0, 2]


def test_in_bfloat16_it_agrees_with_transformers_nearly_as_they_do_with_each_other(row) -> None:
    """Within a point."""
    agreement = row["bfloat16"]["agreement"]
    ours = min(agreement["ours, eager"], agreement["ours, sdpa"])
    assert ours >= agreement["eager, sdpa"] - 0.01


def test_in_bfloat16_it_is_as_near_to_float32_as_transformers(row) -> None:
    distance = row["bfloat16"]["distance"]
    assert distance["ours"] <= 1.05 * min(distance["eager"], distance["sdpa"])


def test_the_rival_computes_as_much_per_token() -> None:
    (_, active), (total, of_dense) = count_parameters(SMALL), count_parameters(DENSE)
    assert total == of_dense
    assert active == pytest.approx(of_dense, rel=0.01)


def test_the_lesson_trains_the_same_model_for_as_long() -> None:
    text, names = LESSON.read_text(encoding="utf-8"), {"DeepSeekConfig": DeepSeekConfig}
    exec(re.search(r"^small = DeepSeekConfig\(.*?^\)$", text, re.MULTILINE | re.DOTALL)[0], names)
    assert names["small"] == SMALL
    assert f"\nSTEPS = {STEPS}\n" in text
