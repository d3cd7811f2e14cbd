"""The class as a CSV file: a line per learner and exercise."""

import csv
import io
import tomllib
from collections.abc import Sequence

import checks
from checks.learner.class_report.rows import Graded
from checks.learner_files import paths

COLUMNS = ("learner", "lesson", "exercise", "name", "state", "stage", "hints", "seed", "version")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def version() -> str:
    """The course's, as its package has it."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def as_csv(grades: Sequence[Graded]) -> str:
    """The whole table; it begins with the mark by which spreadsheets know UTF-8."""
    lesson_of = {check.id: stem for stem, graded in checks.LESSONS.items() for check in graded}
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(COLUMNS)
    for graded in grades:
        for row in graded.rows:
            name, lesson = checks.CHECKS[row.exercise].name, lesson_of[row.exercise]
            seed = "" if row.seed is None else row.seed
            texts = [graded.learner, lesson, row.exercise, name, row.state, row.stage]
            lines.writerow([*map(_plain, texts), row.hints, seed, version()])
    return "\ufeff" + file.getvalue()


def _plain(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would take for a formula."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"'{text}" if text.startswith(FORMULA) else text
