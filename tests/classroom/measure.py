"""How long grading a class takes, and whether it is right: `python -m tests.classroom.measure`.

It makes the class in a temporary folder, or in the one that is named, grades it with the command
that teachers use, and compares every honest learner's rows with what they were made of.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from checks import LESSONS
from course import ROOT
from tests.classroom.make import LEARNERS, made_class

MINUTES = 60  # of two quiet cores


def main(arguments: list[str]) -> int:
    """0 if the class was graded in time and no honest learner's row says anything false."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments[0] if arguments else temporary) / "class"
        learners = int(arguments[1]) if len(arguments) > 1 else LEARNERS
        made = dict(made_class(folder, learners))
        start = time.monotonic()
        code = subprocess.run(_command(folder), cwd=ROOT).returncode
        minutes = (time.monotonic() - start) / 60
        rows = _rows(folder.parent / "results.csv")
    false = [line for learner, wanted in made.items() for line in _false(wanted, rows[learner])]
    print("\n".join(false))
    states = Counter(state for by_exercise in rows.values() for state in by_exercise.values())
    print(json.dumps({"minutes": round(minutes, 1), "false": len(false), "rows": states}))
    return 0 if code == 0 and not false and minutes < MINUTES else 1


def _command(folder: Path) -> list[str]:
    out = ["--csv", str(folder.parent / "results.csv"), "--html", str(folder.parent / "report")]
    return [sys.executable, "-m", "checks.learner.class_report", str(folder), *out]


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """The states by learner and exercise."""
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["learner"], {})[row["exercise"]] = row["state"]
    return found


def _false(wanted: dict[str, str], states: dict[str, str]) -> Iterator[str]:
    """A line for each row that is not what the learner wrote.

    In a lesson with a wrong part or a gap, what is built from it may fail as well.
    """
    for graded in LESSONS.values():
        own = {check.id: wanted[check.id] for check in graded}
        all_right = set(own.values()) == {"right"}
        for exercise, kind in own.items():
            state = states.get(exercise, "no row")
            if (
                state == "no row"
                or (kind == "unwritten" and state != "unwritten")
                or (kind == "wrong" and state in ("passed", "borrowed"))
                or (all_right and state != "passed")
            ):
                yield f"{exercise} is {state}, and was made {kind}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
