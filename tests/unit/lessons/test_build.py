"""lessons/: from a percent script and a solution module to two notebooks."""

import builtins
import json

import nbformat
import pytest

from helpers.solution_markers import solved, source_of, stub
from lessons import stored_studies
from lessons.build import MAX_BYTES, main, stems
from lessons.execute import execute
from lessons.freshness import digest
from lessons.notebooks import GRADED, as_text, learner_notebook, solved_notebook
from lessons.percent import LessonError
from tests.conftest import snapshot

LESSON = """\
# %% [markdown]
# # Doubling

# %% tags=["setup"]
import sys

def check_double(answer):
    print(answer(2) == 4)

# %% tags=["exercise"] exercise="D1.1"
from solutions.d1_tiny import double

# %% tags=["check"] exercise="D1.1"
check_double(double)
# check_double.hint()

# %%
print("same")

# %%
print("same")
"""
SOLUTION = '''\
"""A module."""


def double(x: int) -> int:
    """Twice `x`."""
    # add
    # BEGIN SOLUTION
    return x + x
    # END SOLUTION


# About the next one.
OTHER = 1
'''


@pytest.fixture
def course(tmp_path):
    files = {
        "lessons/d1_tiny.py": LESSON,
        "solutions/d1_tiny.py": SOLUTION,
        "requirements.txt": "numpy==2.4.6\nnbval==0.11.0\n-e .\n",
        "pyproject.toml": '[project.urls]\nHomepage = "https://example.org/us/tiny"\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def pretend_built(course):
    """Both notebooks as a build leaves them, without the outputs that it takes a kernel to make."""
    assert main(["--stubs"], course) == 0
    notebook = solved_notebook(course, "d1_tiny")
    notebook.metadata["course"] = {"digest": digest(course, "d1_tiny")}
    (course / "solutions/d1_tiny.ipynb").write_text(as_text(notebook), encoding="utf-8")
    assert main(["--check"], course) == 0


# Minutes


def test_a_heading_has_the_minutes_of_its_section_and_a_text_those_of_an_exercise(course):
    title = "# ## Doubling · {section} minutes\n#\n# Alone {D1.1}, all {lesson}."
    edit(course / "lessons" / "d1_tiny.py", "# # Doubling", title)
    for notebook in (learner_notebook(course, "d1_tiny"), solved_notebook(course, "d1_tiny")):
        assert notebook.cells[0].source == "## Doubling · 5 minutes\n\nAlone 5, all 5 min."


def test_minutes_of_an_unknown_exercise_are_one_sentence(course, capsys):
    edit(course / "lessons" / "d1_tiny.py", "# # Doubling", "# # Doubling · {D1.99} minutes")
    assert main([], course) == 1
    said = capsys.readouterr().err
    assert said.startswith("lessons/d1_tiny.py, cell 1 ") and said.endswith("no exercise D1.99\n")


# Stubs


def test_a_stub_is_the_source_with_its_fence_emptied():
    source = source_of(SOLUTION, "double")
    head = 'def double(x: int) -> int:\n    """Twice `x`."""\n    # add\n'
    assert solved(source) == f"{head}    return x + x"
    assert stub(source) == f"{head}    raise NotImplementedError"


def test_two_fences_of_a_class_empty_to_two_lines():
    module = """\
class Pair:
    def down(self):
        # BEGIN SOLUTION
        a = 1

        return a
        # END SOLUTION

    def up(self):
        if True:
            # BEGIN SOLUTION
            b = 2
            # END SOLUTION
        return b
"""
    wanted = """\
class Pair:
    def down(self):
        raise NotImplementedError

    def up(self):
        if True:
            raise NotImplementedError
        return b"""
    assert stub(source_of(module, "Pair")) == wanted


def test_decorators_and_ending_comments_come_along_and_neighbours_do_not():
    module = """\
def first(): ...

@cache
@wraps(first,
       updated=())
def second():
    text = '''
unindented # not a comment
'''
    # BEGIN SOLUTION
    return text
    # END SOLUTION

    # a last word

# about the third
def third(): ...
"""
    source = source_of(module, "second")
    assert source.startswith("@cache\n@wraps(first,\n")
    assert source.endswith("# END SOLUTION\n\n    # a last word")
    assert "unindented" in stub(source)


def test_a_module_is_never_executed(course):
    edit(course / "solutions/d1_tiny.py", "OTHER = 1", "raise SystemExit")
    assert "raise NotImplementedError" in as_text(learner_notebook(course, "d1_tiny"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1", "one to three fences"),
        ("    # BEGIN SOLUTION\n    return 1", "one to three fences"),
        (
            "    # END SOLUTION\n    x = 1\n    # BEGIN SOLUTION\n    return 1",
            "one to three fences",
        ),
        ("    ## BEGIN SOLUTION\n    return 1\n    # END SOLUTION", "one to three fences"),
        ("    # BEGIN SOLUTION\n    pass\n    # END SOLUTION\n" * 4, "one to three fences"),
        ("    x = 1\n    # BEGIN SOLUTION\n    # END SOLUTION", "its fence is empty"),
        ("    x = (1,\n    # BEGIN SOLUTION\n    2)\n    # END SOLUTION", "not Python"),
    ],
)
def test_a_fence_that_cannot_be_emptied_is_refused(body, message):
    with pytest.raises(ValueError, match=message):
        stub(source_of(f"def f():\n{body}\n", "f"))


# Notebooks


def test_the_notebooks_differ_in_the_exercise_only(course):
    mine, full = learner_notebook(course, "d1_tiny"), solved_notebook(course, "d1_tiny")
    differing = [a.id for a, b in zip(mine.cells, full.cells, strict=True) if a != b]
    assert differing == ["exercise-D1-1"]
    assert [cell.metadata for cell in mine.cells[2:4]] == [
        {"tags": ["exercise"], "exercise": "D1.1"},
        {
            "tags": ["check"],
            "exercise": "D1.1",
            "nbgrader": {**GRADED, "grade_id": "check-D1-1"},
        },
    ]
    assert mine.cells[3].source == "check_double(double)\n# check_double.hint()"


def test_solution_only_cells_stay_out_of_the_learners_notebook(course):
    lesson = course / "lessons/d1_tiny.py"
    lesson.write_text(LESSON + '\n# %% tags=["solution-only"]\nprint("aside")\n', encoding="utf-8")
    assert "aside" not in as_text(learner_notebook(course, "d1_tiny"))
    assert "aside" in as_text(solved_notebook(course, "d1_tiny"))


def test_stubs_are_equal_byte_for_byte_and_carry_no_outputs(course):
    path = course / "notebooks/d1_tiny.ipynb"
    assert main(["--stubs"], course) == 0
    first = path.read_bytes()
    assert main(["--stubs"], course) == 0
    assert path.read_bytes() == first
    assert first.endswith(b"}\n") and b"\r" not in first
    code = [cell for cell in json.loads(first)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not list(course.rglob("*.tmp"))


def test_an_edited_cell_changes_no_other_id(course):
    before = [cell.id for cell in learner_notebook(course, "d1_tiny").cells]
    assert len(set(before)) == len(before)
    edit(course / "lessons/d1_tiny.py", "# # Doubling", "# # Twice as much")
    edit(course / "solutions/d1_tiny.py", "# add", "# multiply")
    edit(course / "lessons/d1_tiny.py", "# check_double.hint()", "# check_double.solution()")
    after = [cell.id for cell in learner_notebook(course, "d1_tiny").cells]
    assert after[0] != before[0]
    assert after[1:] == before[1:]


# Execution


def test_a_build_executes_once_and_keeps_the_last_state_of_a_bar(course):
    bar = 'for i in range(3):\n    print(f"\\rstep {i}", end="", file=sys.stderr)'
    edit(course / "lessons/d1_tiny.py", '# %%\nprint("same")\n\n', f"# %%\n{bar}\n\n")
    learners = course / "work" / "d1_tiny.ipynb"
    learners.parent.mkdir()
    learners.write_text("not a notebook", encoding="utf-8")
    before = snapshot(course / "work")
    assert main([], course) == 0
    path = course / "solutions/d1_tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    shown = [cell.outputs[0].text.strip() for cell in notebook.cells if cell.get("outputs")]
    assert shown == ["True", "step 2", "same"]
    assert set(notebook.metadata) == {"kernelspec", "language_info", "course"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(set(cell.metadata) <= {"tags", "exercise", "nbgrader"} for cell in notebook.cells)
    assert main(["--check"], course) == 0
    written = path.stat().st_mtime_ns
    assert main(["d1_tiny"], course) == 0
    assert path.stat().st_mtime_ns == written
    assert snapshot(course / "work") == before
    first = path.read_bytes()
    assert main(["--force"], course) == 0
    assert path.stat().st_mtime_ns != written
    assert path.read_bytes() == first


def test_a_failing_cell_is_named_and_the_old_file_stays(course, capsys):
    pretend_built(course)
    before = snapshot(course / "solutions")
    edit(course / "lessons/d1_tiny.py", "print(answer(2) == 4)", "assert answer(2) == 5, 'no'")
    assert main([], course) == 1
    message = capsys.readouterr().err
    assert message.startswith("solutions/d1_tiny.ipynb: cell 4 (check-D1-1, `check_double(double)")
    assert message.endswith("failed: AssertionError: no\n")
    assert snapshot(course / "solutions") == before


def test_a_notebook_of_two_megabytes_is_refused(course, capsys):
    edit(
        course / "lessons/d1_tiny.py",
        'print("same")\n\n',
        f"print(('x' * 99 + chr(10)) * {MAX_BYTES // 100})\n\n",
    )
    assert main([], course) == 1
    assert "must stay below 2,000,000" in capsys.readouterr().err
    assert not (course / "solutions/d1_tiny.ipynb").exists()


def test_a_kernel_that_dies_is_one_sentence(tmp_path):
    cells = [nbformat.v4.new_code_cell("import os; os._exit(1)", id="end")]
    with pytest.raises(LessonError, match=r"cell 1 \(end, .*failed: Kernel died"):
        execute(nbformat.v4.new_notebook(cells=cells), tmp_path)


# Freshness


def test_check_sees_an_edited_source(course, capsys):
    pretend_built(course)
    capsys.readouterr()
    edit(course / "solutions" / "d1_tiny.py", "OTHER = 1", "OTHER = 2")
    assert main(["--check"], course) == 1
    assert "solutions/d1_tiny.ipynb was executed with other sources" in capsys.readouterr().out


def test_a_comment_beside_the_exercise_makes_nothing_stale(course):
    pretend_built(course)
    edit(course / "solutions" / "d1_tiny.py", "# About the next one.", "# About another.")
    assert main(["--check"], course) == 0


def test_line_ends_of_windows_make_nothing_stale(course):
    pretend_built(course)
    for path in [*course.rglob("*.py"), *course.rglob("*.ipynb"), course / "requirements.txt"]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert main(["--check"], course) == 0


@pytest.mark.parametrize("name", ["notebooks/d1_tiny.ipynb", "solutions/d1_tiny.ipynb"])
@pytest.mark.parametrize("state", ["edited", "retagged", "missing", "broken", "another format"])
def test_check_sees_a_changed_notebook_and_names_it_alone(course, capsys, name, state):
    pretend_built(course)
    capsys.readouterr()
    if state == "edited":
        edit(course / name, "# Doubling", "# Trebling")
    elif state == "retagged":
        edit(course / name, '"setup"', '"solution-only"')
    elif state == "missing":
        (course / name).unlink()
    else:
        text = "\x00{" if state == "broken" else "[1, 2]"
        (course / name).write_text(text, encoding="utf-8")
    before = snapshot(course)
    assert main(["--check"], course) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(name) and "run python -m lessons.build" in line
    assert snapshot(course) == before


# Refusals


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("import double", "import double, OTHER", "an exercise cell holds one import"),
        ("import double", "import double\nx = 1", "an exercise cell holds one import"),
        ("import double", "import double as two", "an exercise cell holds one import"),
        ("import double", "import treble", "no top-level function or class treble"),
        ("import double", "import OTHER", "no top-level function or class OTHER"),
        ("d1_tiny import", "d1_other import", "there is no solutions/d1_other.py"),
        ('["check"] exercise="D1.1"', '["check"]', "check cell without an id"),
        ('["check"] exercise="D1.1"', '["check"] exercise="D1.2"', "no exercise D1.2 stands"),
        ('tags=["exercise"] exercise="D1.1"', "", 'an exercise without the tag "exercise"'),
        ('["exercise"] exercise', '["exercise"] excercise', "unknown cell metadata excercise"),
        ('tags=["check"]', 'tags=["exercise"]', "a second exercise D1.1"),
        ('tags=["check"]', 'tags=["check", "exercise"]', "not both"),
        ('tags=["check"]', 'tags=["chek"]', 'no tag "exercise" or "check"'),
        ('tags=["check"]', 'jupyter={"source_hidden": true} tags=["check"]', "may be folded"),
        ('tags=["setup"]', 'jupyter={"collapsed": true} tags=["setup"]', "may be folded"),
        ("# %% [markdown]", "# %% [raw]", "a cell is markdown or code, not raw"),
    ],
)
def test_a_malformed_lesson_is_one_sentence_with_file_and_cell(course, capsys, old, new, message):
    edit(course / "lessons/d1_tiny.py", old, new)
    for arguments in (["--stubs"], ["--check"]):
        assert main(arguments, course) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("lessons/d1_tiny.py, cell ")
        assert message in line


def test_a_folded_cell_is_folded_in_both_notebooks(course):
    edit(
        course / "lessons/d1_tiny.py",
        'tags=["setup"]',
        'tags=["setup"] jupyter={"source_hidden": true}',
    )
    for notebook in (learner_notebook(course, "d1_tiny"), solved_notebook(course, "d1_tiny")):
        folded = [cell.source[:10] for cell in notebook.cells if "jupyter" in cell.metadata]
        assert folded == ["import sys"]
        assert notebook.cells[1].metadata == {
            "tags": ["setup"],
            "jupyter": {"source_hidden": True},
        }


def test_a_solution_without_fence_is_named(course, capsys):
    edit(course / "solutions/d1_tiny.py", "    # END SOLUTION\n", "")
    assert main(["--stubs"], course) == 1
    said = capsys.readouterr().err
    assert "lessons/d1_tiny.py, cell 3" in said
    assert "solutions/d1_tiny.py, double: it needs one to three fences" in said


def test_a_solution_that_is_not_python_is_named(course, capsys):
    edit(course / "solutions/d1_tiny.py", "def double(", "def double((")
    assert main(["--stubs"], course) == 1
    assert "solutions/d1_tiny.py, double: " in capsys.readouterr().err


def test_an_unknown_lesson_and_a_course_without_lessons(course, capsys):
    assert main(["d7"], course) == 1
    assert capsys.readouterr().err == "there is no lesson d7; the lessons are d1_tiny\n"
    (course / "lessons/d1_tiny.py").rename(course / "lessons/digest.py")
    assert stems(course) == []
    assert main(["--check"], course) == 1
    assert "there is no lesson" in capsys.readouterr().err


def test_without_jupytext_one_sentence_says_what_to_run(course, capsys, monkeypatch):
    def without(name, *rest, imported=builtins.__import__):
        if name == "jupytext":
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["--check"], course) == 1
    said = capsys.readouterr().err
    assert "course.py test" in said and "dev" in said and said.count("\n") == 1


def test_a_lesson_is_not_built_on_a_study_of_other_sources(course, capsys):
    edit(
        course / "lessons" / "d1_tiny.py", 'print("same")\n\n', 'rows = stored_rows("d1_size")\n\n'
    )
    study = course / "tests" / "studies" / "d1_size.py"
    study.parent.mkdir(parents=True)
    study.write_text("SEEDS = (0,)\n", encoding="utf-8")
    stored_studies.store("d1_size", stored_studies.made_from("d1_size", course), [], course)
    pretend_built(course)
    assert main(["--check"], course) == 0
    study.write_text("SEEDS = (0, 1)\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["--check"], course) == 1
    assert "python -m tests.studies d1_size" in capsys.readouterr().out
    assert main(["--force"], course) == 1


def test_other_rows_of_a_study_make_the_lesson_stale(course):
    edit(
        course / "lessons" / "d1_tiny.py", 'print("same")\n\n', 'rows = stored_rows("d1_size")\n\n'
    )
    rows = stored_studies.stored(course, "d1_size")
    rows.parent.mkdir(parents=True)
    rows.write_text("[]", encoding="utf-8")
    before = digest(course, "d1_tiny")
    rows.write_text("[1]", encoding="utf-8")
    assert digest(course, "d1_tiny") != before
