"""The study plan's table: README and D1 show the same one, and what it says is so."""

import re

from checks import CHECKS
from checks.learner_files.board import SUBTASKS
from helpers.model.published import V2, V2_LITE, V3
from lessons.build import ROOT
from lessons.percent import Cell
from lessons.placeholders import filled, plan_table

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = [
    [column.strip() for column in row.strip("|").split("|")]
    for row in plan_table(ROOT).splitlines()[2:]
]


def test_readme_shows_it():
    assert f"\n{plan_table(ROOT)}\n" in README


def test_a_lesson_shows_it_where_it_asks_for_it():
    cells = [Cell("markdown", "## A\n\n{plan}", (), None, "here")]
    assert filled(ROOT, "d1_moe", cells)[0].source == f"## A\n\n{plan_table(ROOT)}"


def test_its_rows_are_the_subtasks_of_the_board():
    assert [row[0].partition(" ")[::2] for row in ROWS[1:]] == list(SUBTASKS.items())


def test_every_exercise_it_names_is_there_and_belongs_to_its_row():
    named = re.findall(r"D\d\.\w+", plan_table(ROOT))
    assert set(named) - set(SUBTASKS) <= set(CHECKS)
    for row in ROWS[1:]:
        assert row[0].split()[0] in row[2]


def test_every_exercise_of_a_subtask_is_in_the_table_or_between_two_that_are():
    """`D3.3a to D3.3f` names those between; D2.3a stands where DeepSeek differs."""
    text = plan_table(ROOT)
    for low, high in re.findall(r"(D\d\.\d[a-z]) to (D\d\.\d[a-z])", text):
        between = [f"{low[:-1]}{chr(n)}" for n in range(ord(low[-1]), ord(high[-1]) + 1)]
        text += " ".join(between)
    own = [exercise for exercise in CHECKS if exercise.startswith(tuple(SUBTASKS))]
    assert [exercise for exercise in own if exercise not in text] == []


def ratio(model) -> float:
    """How many numbers standard attention of as many heads caches for each one of MLA's."""
    attention = model.attention
    expanded = attention.heads * (attention.d_head + attention.d_value)
    return expanded / (attention.d_latent + attention.d_rope)


def test_what_it_says_of_deepseek_is_the_published_configuration():
    text = plan_table(ROOT)
    assert f"{ratio(V2_LITE):.1f} times for V2-Lite, {ratio(V3):.1f} times for V3" in text
    assert f"V3 has {V3.experts.shared}, V2 has {V2.experts.shared}" in text
    assert f"the first {V3.dense_layers} layers of V3 are dense" in text
    sizes = f"a latent of {V3.attention.d_latent}, {V3.experts.shared} shared expert"
    assert f"V3 has {sizes} and top-{V3.experts.top_k} per token" in text


def test_readme_says_as_of_when_and_where_the_rest_stands():
    assert "As of V3.1: " in README
    assert 'table in [D4, "What changed since"](solutions/d4_deepseek.ipynb)' in README
