"""Which code is the answer to an exercise, where the notebook leaves a choice."""

import pytest

from checks import LESSONS
from checks.learner_files import paths
from checks.learner_files.answers import Answer, answers, code_of, definitions
from checks.learner_files.notebook import CodeCell, read

RIGHT = "def load_cv(load):\n    return load.std(correction=0) / load.mean()"
STUB = "def load_cv(load):\n    raise NotImplementedError"
TAGGED, PLAIN = ("exercise", "D1.4b"), ("plain", None)


def answer(*cells: tuple[str, tuple[str, str | None]]) -> Answer | None:
    read_cells = [CodeCell(source, *role) for source, role in cells]
    return answers(read_cells, {"D1.4b": "load_cv"}).get("D1.4b")


def chosen(*cells: tuple[str, tuple[str, str | None]]) -> tuple[str, int, str]:
    found = answer(*cells)
    assert found is not None
    return found.source.strip(), found.cell, found.choice


def test_the_exercises_own_cell_holds_the_answer():
    assert chosen(("x = 1", PLAIN), (RIGHT, TAGGED)) == (RIGHT, 1, "")


def test_without_any_code_there_is_no_answer():
    assert answer(("x = 1", PLAIN)) is None


def test_of_two_cells_the_last_counts_and_the_learner_is_told():
    source, cell, choice = chosen((STUB, TAGGED), (RIGHT, TAGGED))
    assert (source, cell) == (RIGHT, 1)
    assert choice == "code cells 1 and 2 define load_cv; the last of them counts."


def test_a_new_cell_below_the_stub_holds_the_answer():
    source, cell, choice = chosen((STUB, TAGGED), ("x = 1", PLAIN), (RIGHT, PLAIN))
    assert (source, cell) == (RIGHT, 2) and "code cells 1 and 3" in choice


def test_an_answer_without_its_tag_is_found():
    source, cell, choice = chosen(("print(load_cv)", PLAIN), (RIGHT, PLAIN))
    assert (source, cell) == (RIGHT, 1)
    assert choice == "load_cv is taken from code cell 2, which is not its exercise's."


def test_a_scratch_cell_above_the_stub_does_not_count():
    assert chosen((RIGHT, PLAIN), (STUB, TAGGED))[:2] == (STUB, 1)


def test_the_upper_half_of_a_split_cell_comes_along():
    helper = "def mean(load):\n    return load.mean()"
    source, cell, choice = chosen((helper, TAGGED), (RIGHT, TAGGED))
    assert (source, cell, choice) == (f"{helper}\n\n\n{RIGHT}", 1, "")


def test_of_a_cell_that_does_more_only_definition_and_imports_are_taken():
    source, *_ = chosen((f"import torch\nprint('shown')\n{RIGHT}\nload_cv(x)", PLAIN))
    assert source == f"import torch\n{RIGHT}"


@pytest.mark.parametrize(
    "defined",
    [
        f"if True:\n    {RIGHT.replace(chr(10), chr(10) + '    ')}",
        f"try:\n    {RIGHT.replace(chr(10), chr(10) + '    ')}\nexcept ImportError:\n    pass",
        "from elsewhere import cv as load_cv",
        "async def load_cv(load): ...",
        "class load_cv: ...",
    ],
)
def test_every_way_to_define_a_name_counts(defined):
    assert chosen((STUB, TAGGED), (defined, PLAIN))[1] == 1


@pytest.mark.parametrize(
    "other", ["load_cv(x)", "def f():\n    def load_cv(x): ...", "load_cv = 1"]
)
def test_what_a_demonstration_does_with_the_name_does_not_count(other):
    assert chosen((RIGHT, TAGGED), (other, PLAIN))[1] == 0


def test_in_its_own_cell_an_assignment_is_an_answer():
    assert chosen((STUB, TAGGED), ("load_cv = lambda load: 0", TAGGED))[1] == 1


def test_lines_that_only_a_notebook_runs_are_named():
    found = answer((f"%%time\n!ls\n{RIGHT}", TAGGED))
    assert found is not None and found.left_out == ("!ls",)
    assert found.code == code_of(RIGHT, "load_cv")


def test_comments_and_docstrings_are_no_other_code():
    code = code_of(RIGHT, "load_cv")
    assert code == code_of(RIGHT.replace("):\n", '):\n    """Says."""\n    # why\n'), "load_cv")
    assert code != code_of(STUB, "load_cv")
    assert code_of("def broken(:", "load_cv") == code_of("load_cv = 3", "load_cv") == ""


def test_what_surrounds_the_answers():
    cells = [
        CodeCell("x = 1", "setup", None),
        CodeCell("def helper(): ...", *PLAIN),
        CodeCell("print(1)", *PLAIN),
        CodeCell(STUB, *TAGGED),
        CodeCell(RIGHT, *PLAIN),
    ]
    found = answers(cells, {"D1.4b": "load_cv"})
    assert list(definitions(cells, found)) == [0, 1]


@pytest.mark.parametrize("folder", ["notebooks", "solutions"])
@pytest.mark.parametrize("lesson", list(LESSONS))
def test_our_own_notebooks_leave_no_choice(folder, lesson):
    cells = read(paths.ROOT / folder / f"{lesson}.ipynb")
    names = {check.id: check.name for check in LESSONS[lesson]}
    found = answers(cells, names)
    assert list(found) == list(names)
    for exercise, own in found.items():
        assert own.choice == "" and own.left_out == () and own.code
        assert cells[own.cell].is_of(exercise)
