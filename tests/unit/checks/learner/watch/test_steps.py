"""What a saved notebook runs, and what makes a verdict on one of its exercises a new one."""

import pytest

from checks.learner.watch.steps import digests, steps
from checks.learner_files.answers import answers
from checks.learner_files.notebook import CodeCell

NAMES = {"D1.1": "router", "D1.2": "array", "D1.5": "layer"}
SETUP = CodeCell("import torch\nseed = 3", "setup", None)
HELPER = CodeCell("def helped(x):\n    y = deeper(x)\n    return y", "plain", None)
DEEPER = CodeCell("def deeper(x):\n    return x", "plain", None)
SHOWN = CodeCell("print(layer(3))", "plain", None)


def exercise(of: str, source: str) -> CodeCell:
    return CodeCell(source, "exercise", of)


ROUTER = exercise("D1.1", "def router(x):\n    y = helped(x)\n    return y")
ARRAY = exercise("D1.2", "def array(x):\n    y = x\n    return y")
LAYER = exercise("D1.5", "def layer(x):\n    return router(x)")
CELLS = [SETUP, DEEPER, HELPER, ROUTER, SHOWN, ARRAY, LAYER]


def of(cells: list[CodeCell], elsewhere: str = "") -> dict[str, str]:
    """The digest of all that each verdict depends on."""
    found = digests(steps(cells, answers(cells, NAMES)), elsewhere)
    return {exercise: digest.all for exercise, digest in found.items()}


def changed(cell: CodeCell, source: str) -> set[str]:
    """The exercises whose verdict is another one, once `cell` has this source."""
    cells = [CodeCell(source, c.role, c.exercise) if c is cell else c for c in CELLS]
    before, now = of(CELLS), of(cells)
    return {name for name in NAMES if before[name] != now[name]}


def test_set_up_definitions_and_answers_run_in_the_notebooks_order() -> None:
    run = steps(CELLS, answers(CELLS, NAMES))
    places = [step.place for step in run]
    assert places == ["code cell 1", "code cell 2", "code cell 3", "D1.1", "D1.2", "D1.5"]
    assert [step.is_setup for step in run] == [True] + 5 * [False]


def test_two_exercises_in_one_cell_are_two_steps() -> None:
    both = exercise("D1.1", ROUTER.source + "\n" + LAYER.source)
    cells = [SETUP, both, exercise("D1.5", "# above")]
    run = steps(cells, answers(cells, NAMES))
    assert [step.exercise for step in run if step.exercise] == ["D1.1", "D1.5"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (SETUP, {"D1.1", "D1.2", "D1.5"}),
        (DEEPER, {"D1.1", "D1.5"}),
        (ROUTER, {"D1.1", "D1.5"}),
        (ARRAY, {"D1.2"}),
        (LAYER, {"D1.5"}),
        (SHOWN, set()),
    ],
)
def test_what_an_exercise_is_built_from_makes_its_verdict_new(cell, expected) -> None:
    assert changed(cell, cell.source + "\n# edited\n" + "x = 1" * (cell is SETUP)) == expected


def test_a_syntax_error_is_of_its_own_exercise_only() -> None:
    assert changed(ARRAY, "def array(x:") == {"D1.2"}


def test_an_edit_of_another_part_is_none_of_its_own() -> None:
    edited = [*CELLS[:-1], exercise("D1.5", LAYER.source + "# edited")]
    other = [SETUP, DEEPER, HELPER, exercise("D1.1", ROUTER.source + "# edited"), *CELLS[4:]]
    before, own, built_on = (
        digests(steps(cells, answers(cells, NAMES)), "")["D1.5"] for cells in (CELLS, edited, other)
    )
    assert before.own == built_on.own != own.own
    assert len({before.all, own.all, built_on.all}) == 3


def test_another_file_makes_every_verdict_new() -> None:
    before, now = of(CELLS, "one"), of(CELLS, "two")
    assert not set(before.values()) & set(now.values())


def test_an_exercise_without_a_cell_has_no_digest() -> None:
    assert set(of([SETUP, ROUTER])) == {"D1.1"}
