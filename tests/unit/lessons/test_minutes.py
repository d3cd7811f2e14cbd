"""lessons/minutes.py: the minutes of a lesson by one rule, and every place that states them."""

import json
import re

import pytest

from checks import CHECKS, OPEN_TASKS
from checks.audit.answers import audited
from lessons.build import ROOT, stems
from lessons.minutes import (
    Timed,
    Work,
    as_text,
    everything,
    hours,
    in_readme,
    lesson_minutes,
    rounded,
    timed_sections,
    work_of,
)
from lessons.percent import Cell, read_lesson
from lessons.placeholders import filled, lesson_map
from lessons.prose import questions, table_rows
from lessons.sections import seconds_by_section, sections

every_lesson = pytest.mark.parametrize("stem", stems(ROOT))


def text(source):
    return Cell("markdown", source, (), None, "here")


def code(source):
    return Cell("code", source, (), None, "here")


def lesson(stem):
    return read_lesson(ROOT / "lessons" / f"{stem}.py")


# The rule


def test_words_lines_questions_and_run_time_add_up():
    assert Work(words=240, lines=4, questions=3, seconds=90).minutes == 2 + 12 + 6 + 1.5


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(0, 0), (2.4, 0), (2.5, 5), (7.4, 5), (7.5, 10), (62.5, 65)]
)
def test_minutes_are_rounded_to_fives(minutes, wanted):
    assert rounded(minutes) == wanted


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(0, "0 min"), (45, "45 min"), (120, "2 h"), (205, "3 h 25 min")]
)
def test_hours_are_said_as_a_person_says_them(minutes, wanted):
    assert hours(minutes) == wanted


def test_a_question_above_its_prediction_counts_once():
    cells = [text("Which ends lower?"), code('predict("D1.p1", guess=None)'), text("Why? And how?")]
    assert work_of(ROOT, cells).questions == 3
    assert work_of(ROOT, cells[::2]).questions == 3
    assert work_of(ROOT, cells[:1]).questions == 1


def test_headings_and_code_ask_nothing_and_rows_below_a_tables_heading_count():
    assert questions("## Is it faster?\n\nIt is `a ? b`. Is it (really?) so?") == 2
    assert table_rows("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\ntext\n") == 2
    assert table_rows("no table") == 0


def test_the_lines_of_an_exercise_are_those_inside_its_fences(tmp_path):
    (tmp_path / "solutions").mkdir()
    fence = "    # BEGIN SOLUTION\n    y += 1\n\n    return y\n    # END SOLUTION\n"
    module = f"def f(x):\n    y = x\n{fence}"
    (tmp_path / "solutions" / "d1_tiny.py").write_text(module)
    cell = Cell("code", "from solutions.d1_tiny import f", ("exercise",), "D1.1", "here")
    assert work_of(tmp_path, [cell]).lines == 2


def test_a_section_runs_to_the_next_heading_and_the_first_has_what_stands_before():
    cells = [text("# T"), text("## A · {section} minutes"), code("1"), text("## B"), code("2")]
    cells += [text("## C · {section} minutes, optional")]
    first, second, third = sections(cells)
    assert (first.title, len(first.cells), first.says_minutes) == ("A", 3, True)
    assert (second.title, len(second.cells), second.says_minutes) == ("B", 2, False)
    assert (third.title, third.optional, first.optional) == ("C", True, False)
    ran = seconds_by_section(cells, [0.0, 0.0, 17.0, 0.0, 61.0, 0.0])
    assert ran == {"A": 20, "B": 60, "C": 0}


def test_what_is_optional_counts_in_no_sum_and_stands_in_the_map():
    timed = [Timed("A", 20, False), Timed("B", 0, False), Timed("C", 45, True)]
    assert lesson_minutes(timed) == 20
    rows = lesson_map(timed).splitlines()[2:]
    assert rows == ["| A | 20 |", "| C | 45 (optional) |", "| together | 20 min |"]


def test_a_section_takes_the_time_that_it_ran(tmp_path):
    (tmp_path / "solutions").mkdir()
    kept = {"metadata": {"course": {"seconds": {"A": 600}}}}
    (tmp_path / "solutions" / "d1_tiny.ipynb").write_text(json.dumps(kept))
    cells = [text("## A · {section} minutes"), text("## B · {section} minutes")]
    assert [part.minutes for part in timed_sections(tmp_path, "d1_tiny", cells)] == [10, 5]


# Where minutes are stated


def test_the_kept_minutes_are_those_of_the_rule():
    kept = (ROOT / "checks" / "minutes.json").read_text(encoding="utf-8")
    assert kept == as_text(everything(ROOT, stems(ROOT))), "run python -m lessons.minutes"


def test_every_check_has_its_minutes():
    kept = json.loads((ROOT / "checks" / "minutes.json").read_text(encoding="utf-8"))["exercises"]
    every = [*CHECKS.values(), *(check for tasks in OPEN_TASKS.values() for check in tasks)]
    assert {check.id: check.minutes for check in every} == kept


@every_lesson
def test_no_heading_has_minutes_written_by_hand(stem):
    headings = [line for cell in lesson(stem) for line in re.findall(r"^##.*", cell.source, re.M)]
    assert [line for line in headings if re.search(r"\d+ min|\{D", line)] == []


@every_lesson
def test_every_exercise_stands_in_a_section_that_gives_its_minutes(stem):
    cells = filled(ROOT, stem, lesson(stem))
    parts = [part for part in sections(cells) if any("exercise" in c.tags for c in part.cells)]
    assert parts and all(part.says_minutes for part in parts)
    found = {cell.exercise for part in parts for cell in part.cells if "exercise" in cell.tags}
    assert found == {check.id for check in audited(stem)}


@every_lesson
def test_an_open_task_is_optional(stem):
    tasks = {check.id for check in OPEN_TASKS[stem]}
    parts = [p for p in sections(lesson(stem)) if tasks & {cell.exercise for cell in p.cells}]
    assert all(part.optional and part.title.startswith("Open task: ") for part in parts)


def test_readme_states_the_hours_of_the_rule():
    kept = json.loads((ROOT / "checks" / "minutes.json").read_text(encoding="utf-8"))["lessons"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert in_readme(readme, kept) == readme, "run python -m lessons.minutes"
    for minutes in (*kept.values(), sum(kept.values())):
        assert re.search(rf"\b{hours(minutes)}\b", readme)


def test_stating_the_hours_changes_them_and_nothing_else():
    text = "| D1 Tiny, x, {} | a, b | c |\n| D1.1 f | 5 |\n\nTogether {}, by rule, as it is."
    said = in_readme(text.format("3-4 h", "9 h"), {"d1_tiny": 65})
    assert said == text.format("1 h 5 min", "1 h 5 min")
