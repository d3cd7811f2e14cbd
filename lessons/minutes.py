"""The minutes that a lesson takes a person, by one rule: `python -m lessons.minutes` states them.

A section is what stands from one `##` heading to the next. The rule reads its cells, the fences of
its exercises and the seconds that its cells ran when the solved notebook was built.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.atomic_file import write_atomically
from helpers.solution_markers import spans
from lessons.exercise_code import made_of
from lessons.percent import Cell, read_lesson
from lessons.prose import questions, table_rows, word_count
from lessons.sections import Section, sections

ROOT = Path(__file__).resolve().parent.parent
WORDS_A_MINUTE = 120
MINUTES_A_LINE = 3
MINUTES_A_QUESTION = 2  # also a prediction, and a row of a table
STEP = 5
PREDICTION = re.compile(r"^predict\(", re.MULTILINE)


@dataclass(frozen=True)
class Work:
    """What a section asks of a person, counted."""

    words: int
    lines: int
    questions: int
    seconds: float = 0.0

    @property
    def minutes(self) -> float:
        """1 per 120 words, 3 per line, 2 per question, and the time that its cells run."""
        written = self.lines * MINUTES_A_LINE + self.questions * MINUTES_A_QUESTION
        return self.words / WORDS_A_MINUTE + written + self.seconds / 60


@dataclass(frozen=True)
class Timed:
    """A section with its minutes, a multiple of 5; those that are optional count in no sum."""

    title: str
    minutes: int
    optional: bool


def rounded(minutes: float) -> int:
    """The nearest multiple of 5; half of 5 goes up."""
    return STEP * int((minutes + STEP / 2) // STEP)


def work_of(root: Path, cells: Sequence[Cell], seconds: float = 0.0) -> Work:
    """What `cells` ask: words, predictions, rows and questions of texts, lines inside fences."""
    texts = [cell.source for cell in cells if cell.kind == "markdown"]
    return Work(
        sum(map(word_count, texts)),
        sum(made_of(root, cell, fenced_lines) for cell in cells if "exercise" in cell.tags),
        sum(map(table_rows, texts)) + _asked(cells),
        seconds,
    )


def _asked(cells: Sequence[Cell]) -> int:
    """Predictions and questions; the question directly above a prediction is the prediction."""
    count = 0
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.kind == "markdown" and not (after and _predicts(after)):
            count += questions(cell.source)
        count += _predicts(cell)
    return count


def _predicts(cell: Cell) -> bool:
    return cell.kind == "code" and bool(PREDICTION.search(cell.source))


def fenced_lines(source: str) -> int:
    """How many lines stand inside the fences of an exercise's source; no empty ones."""
    lines = source.split("\n")
    return sum(bool(line.strip()) for begin, end in spans(lines) for line in lines[begin + 1 : end])


def timed_sections(root: Path, stem: str, cells: Sequence[Cell]) -> list[Timed]:
    """The sections of a lesson in order; one whose heading gives its minutes has at least 5."""
    ran = seconds_of(root, stem)
    return [_timed(root, part, ran.get(part.title, 0.0)) for part in sections(cells)]


def _timed(root: Path, part: Section, seconds: float) -> Timed:
    minutes = rounded(work_of(root, part.cells, seconds).minutes)
    return Timed(part.title, max(minutes, STEP * part.says_minutes), part.optional)


def seconds_of(root: Path, stem: str) -> dict[str, float]:
    """How long the cells of each section ran when the solved notebook was built, by title."""
    try:
        text = (root / "solutions" / f"{stem}.ipynb").read_text(encoding="utf-8")
        return json.loads(text)["metadata"]["course"]["seconds"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}  # never built, or not by this rule: the time is that of reading and writing


def exercise_minutes(root: Path, cells: Sequence[Cell]) -> dict[str, int]:
    """What the lines of each exercise take, by id: at least 5 minutes."""
    return {
        str(cell.exercise): max(STEP, rounded(work_of(root, [cell]).minutes))
        for cell in cells
        if "exercise" in cell.tags
    }


def lesson_minutes(timed: Sequence[Timed]) -> int:
    """The sum of what is not optional."""
    return sum(section.minutes for section in timed if not section.optional)


def hours(minutes: int) -> str:
    """As a heading says it: `3 h 25 min`."""
    whole, rest = divmod(minutes, 60)
    return " ".join([f"{whole} h"] * bool(whole) + [f"{rest} min"] * bool(rest or not whole))


def everything(root: Path, stems: Sequence[str]) -> dict[str, dict[str, int]]:
    """What `checks/minutes.json` holds: the minutes of every lesson and of every exercise."""
    lessons, exercises = dict[str, int](), dict[str, int]()
    for stem in stems:
        cells = read_lesson(root / "lessons" / f"{stem}.py")
        lessons[stem] = lesson_minutes(timed_sections(root, stem, cells))
        exercises |= exercise_minutes(root, cells)
    return {"lessons": lessons, "exercises": exercises}


def as_text(kept: dict[str, dict[str, int]]) -> str:
    """As the file holds it."""
    return json.dumps(kept, indent=1) + "\n"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """States the minutes in `checks/minutes.json` and README, or prints them with `--show`."""
    parser = argparse.ArgumentParser(prog="python -m lessons.minutes", description=__doc__)
    parser.add_argument("--show", nargs="*", metavar="d1", help="print sections, write nothing")
    shown = parser.parse_args(arguments).show
    stems = sorted(path.stem for path in (root / "lessons").glob("d[0-9]_*.py"))
    if shown is not None:
        chosen = [stem for stem in stems if not shown or stem.startswith(tuple(shown))]
        print("\n".join(line for stem in chosen for line in _shown(root, stem)))
        return 0
    kept = everything(root, stems)
    write_atomically(root / "checks" / "minutes.json", as_text(kept))
    readme = root / "README.md"
    write_atomically(readme, in_readme(readme.read_text(encoding="utf-8"), kept["lessons"]))
    print(f"checks/minutes.json and README say {hours(sum(kept['lessons'].values()))}")
    return 0


def in_readme(text: str, lessons: Mapping[str, int]) -> str:
    """README's text with the hours of each lesson in its table's row, and their sum below it."""
    for stem, minutes in lessons.items():
        row = rf"^(\| {stem[:2].upper()} [^|]*, )[^|,]+( \|)"
        text = re.sub(row, rf"\g<1>{hours(minutes)}\g<2>", text, flags=re.MULTILINE)
    whole = hours(sum(lessons.values()))
    return re.sub(r"^Together [^,]+,", f"Together {whole},", text, flags=re.MULTILINE)


def _shown(root: Path, stem: str) -> Iterator[str]:
    timed = timed_sections(root, stem, read_lesson(root / "lessons" / f"{stem}.py"))
    yield f"{stem}: {hours(lesson_minutes(timed))}"
    for section in timed:
        yield f"  {section.minutes:4} {section.title}{' (optional)' * section.optional}"


if __name__ == "__main__":
    sys.exit(main())
