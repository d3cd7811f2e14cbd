"""The lessons themselves: what their notebooks ask, say and show."""

import importlib
import re
from statistics import median

import nbformat
import pytest

from checks import CHECKS, OPEN_TASKS
from checks.audit.answers import answers_to, audited
from checks.learner_files.notebook import read
from lessons.build import MAX_BYTES, ROOT, stems
from lessons.names import reads_and_binds
from lessons.notebooks import learner_notebook, solved_notebook
from lessons.percent import read_lesson
from lessons.prose import prose, word_count

STEMS = stems(ROOT)
every_lesson = pytest.mark.parametrize("stem", STEMS)

BANNED = re.compile(r"\b(simply|just|easy|obviously|great)\b", re.IGNORECASE)
FENCE = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION$", re.MULTILINE | re.DOTALL)


def module_of(check):
    """The module of `solutions` that holds the exercise."""
    return check.reference_answer.__module__.removeprefix("solutions.")


def solution_text(stem):
    modules = dict.fromkeys(map(module_of, audited(stem)))
    return "".join((ROOT / "solutions" / f"{m}.py").read_text(encoding="utf-8") for m in modules)


def lesson_cells(stem, tag=None):
    cells = read_lesson(ROOT / "lessons" / f"{stem}.py")
    return [cell for cell in cells if tag is None or tag in cell.tags]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_sources(stem):
    cells = learner_notebook(ROOT, stem).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


def test_the_first_lesson_is_there():
    assert "d1_moe" in STEMS


def test_every_built_notebook_has_a_lesson():
    for folder in ("notebooks", "solutions"):
        assert sorted(path.stem for path in (ROOT / folder).glob("*.ipynb")) == STEMS


# Exercises


@every_lesson
def test_a_stub_is_its_solution_minus_the_fence(stem):
    text = solution_text(stem)
    emptied = FENCE.sub(r"\1raise NotImplementedError", text)
    whole = re.sub(r"^ *# (BEGIN|END) SOLUTION\n", "", text, flags=re.MULTILINE)
    for notebook, wanted in (
        (learner_notebook(ROOT, stem), emptied),
        (solved_notebook(ROOT, stem), whole),
    ):
        exercises = [c for c in notebook.cells if "exercise" in c.metadata.get("tags", [])]
        assert exercises
        assert [cell.id for cell in exercises if f"{cell.source}\n" not in wanted] == []


@every_lesson
def test_no_solution_line_stands_in_the_learners_notebook(stem):
    text = solution_text(stem)
    given = {bare(line) for line in FENCE.sub("", text).splitlines()}
    fenced = {bare(line) for _, body in FENCE.findall(text) for line in body.splitlines()}
    secret = {line for line in fenced - given if len(line) > 12}
    assert secret
    cells = learner_notebook(ROOT, stem).cells
    leaks = [(cell.id, line) for cell in cells for line in secret if line in cell.source]
    assert leaks == []


def bare(line):
    """The line without indentation and comment."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


@every_lesson
def test_every_exercise_has_what_a_learner_and_a_teacher_need(stem):
    exercises = lesson_cells(stem, "exercise")
    assert [cell.exercise for cell in exercises] == [check.id for check in audited(stem)]
    for cell, check in zip(exercises, audited(stem), strict=True):
        assert cell.imported == (module_of(check), check.name)
        assert check.minutes > 0
        assert len(check.hints) == len({hint.strip() for hint in check.hints} - {""}) == 3
        answers = answers_to(check)
        assert len(answers.right) >= 3, check.id
        assert len(answers.wrong) >= 8, check.id


@every_lesson
def test_each_exercise_is_graded_before_the_next_one(stem):
    graded = [cell for cell in lesson_cells(stem) if cell.exercise]
    checks = vars(importlib.import_module(f"checks.{stem}"))
    for place, cell in enumerate(graded):
        if "exercise" in cell.tags and cell.exercise in CHECKS:
            after = graded[place + 1]
            assert "check" in after.tags and after.exercise == cell.exercise, cell.place
            call = re.match(r"(\w+)\((\w+)\)$", after.source.strip().splitlines()[0])
            assert call, after.place
            assert checks[call[1]] is CHECKS[cell.exercise], after.place
            assert call[2] == cell.imported[1], after.place


@every_lesson
def test_an_open_task_is_measured_where_nobody_compares_and_run_all_goes_on(stem):
    cells, tasks = lesson_cells(stem), {check.id: check for check in OPEN_TASKS[stem]}
    assert [cell.exercise for cell in cells if cell.exercise in tasks] == list(tasks)
    for place, cell in enumerate(cells):
        if cell.exercise in tasks:
            after = cells[place + 1]
            name = tasks[cell.exercise].name
            assert re.fullmatch(rf"measure_\w+\({name}\)", after.source), after.place
            assert after.tags == ("nbval-ignore-output",), after.place


@every_lesson
def test_run_all_reveals_nothing(stem):
    reveal = re.compile(r"^[^#\n]*\bcheck_\w+\.(hint|reference|solution)\(", re.MULTILINE)
    cells = code_cells(learner_notebook(ROOT, stem))
    assert [cell.id for cell in cells if reveal.search(cell.source)] == []


# Names


@pytest.mark.parametrize(
    ("source", "reads", "binds"),
    [
        ("import a.b, c as d\nfrom e import f", set(), {"a", "d", "f"}),
        ("x = [i * k for i in y]", {"k", "y"}, {"x"}),
        ("x += 1", {"x"}, {"x"}),
        ("def f(a, b=c):\n    g = a\n    return g + h + late\nlate = 1", {"c", "h"}, {"f", "late"}),
        (
            "class A(B):\n    n = 1\n    m = n + o\n    def f(self): return A, p",
            {"B", "o", "p"},
            {"A"},
        ),
        ("def f():\n    global x\n    x = 1\n\nf(); x; y", {"y"}, {"f", "x"}),
        ("def f():\n    def g(): return y, z\n    y = 1\n    return g", {"z"}, {"f"}),
        ("try:\n    pass\nexcept E as e:\n    e", {"E"}, {"e"}),
        ("def f(x: T) -> U: ...", {"T", "U"}, {"f"}),
        ("%matplotlib inline\ny = lambda q: q + w", {"w"}, {"y"}),
        ("with o() as (p, *q): f'{p} {r}'", {"o", "r"}, {"p", "q"}),
    ],
)
def test_the_names_of_a_cell_are_found(source, reads, binds):
    assert reads_and_binds(source) == (reads, binds)


def unresolved(sources):
    """Each cell's names that neither a builtin nor a cell before it binds."""
    known, missing = set(), []
    for source in sources:
        reads, binds = reads_and_binds(source)
        missing += [(source[:60], name) for name in sorted(reads - known)]
        known |= binds
    return missing


@every_lesson
@pytest.mark.parametrize("build", [learner_notebook, solved_notebook])
def test_every_name_comes_from_an_earlier_cell(stem, build):
    assert unresolved([cell.source for cell in code_cells(build(ROOT, stem))]) == []


@every_lesson
def test_exercises_and_checks_need_no_cell_that_validation_leaves_out(stem):
    kinds = {"setup", "exercise", "check"}
    cells = code_cells(solved_notebook(ROOT, stem))
    graded = [cell.source for cell in cells if kinds & set(cell.metadata.get("tags", []))]
    assert "setup" in cells[0].metadata.get("tags", [])
    assert unresolved(graded) == []


# Texts


def test_words_of_a_text_cell_are_its_prose():
    source = "# A title\nTwo [words](https://x.org/a!) `a b!`, $n!$.\n\n| a | b |\n$$\nx y z!\n$$\n"
    assert word_count(source) == 4
    assert "!" not in prose(source)


@every_lesson
def test_text_cells_are_short(stem):
    sources = [text for text in markdown_sources(stem) if not re.search("# Read next", text)]
    long = [(word_count(text), text[:60]) for text in sources if word_count(text) > 90]
    assert long == []
    assert median(word_count(text) for text in sources if word_count(text)) <= 40


@every_lesson
def test_texts_neither_shout_nor_belittle(stem):
    for text in markdown_sources(stem):
        assert "!" not in prose(text), text
        assert not BANNED.search(prose(text)), text
        assert not re.search("[\U0001f000-\U0001faff\u2600-\u26ff]", text), text


@every_lesson
def test_a_display_equation_stands_directly_above_its_code(stem):
    cells = learner_notebook(ROOT, stem).cells
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type == "markdown" and "$$" in cell.source:
            assert after is not None and after.cell_type == "code", cell.source


# Notebooks on the disk


@every_lesson
def test_a_learners_notebook_has_no_outputs(stem):
    notebook = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.outputs == [] and cell.execution_count is None, cell.id


@every_lesson
def test_a_solved_notebook_is_whole_small_and_without_errors(stem):
    path = ROOT / "solutions" / f"{stem}.ipynb"
    assert path.stat().st_size < MAX_BYTES
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.execution_count is not None, cell.id
        assert not [o for o in cell.outputs if o.output_type == "error"], cell.id


@every_lesson
def test_validation_finds_every_exercise_in_the_notebook(stem):
    cells = read(ROOT / "notebooks" / f"{stem}.ipynb")
    found = [cell.exercise for cell in cells if cell.role == "exercise"]
    assert found == [cell.exercise for cell in lesson_cells(stem, "exercise")]
