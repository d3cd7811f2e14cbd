"""`python -m checks.learner.class_report FOLDER`: a class graded, as `course.py grade` says it."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib import font_manager  # noqa: F401  it makes the list of fonts that is handed on

import checks
from checks.learner.class_report import confinement, table
from checks.learner.class_report.grading import Class
from checks.learner.class_report.pages import Report
from checks.learner.class_report.rows import Graded
from checks.learner.class_report.submissions import Submission, submissions
from checks.learner.class_report.watched import Rules
from checks.learner_files.console import print_anything
from helpers.atomic_file import write_atomically


def main(arguments: Sequence[str]) -> int:
    """0 once everybody is graded; 1 where it was stopped, with what there was written, or nobody.

    A file or a folder that cannot be used ends it in a sentence.
    """
    options = _parser().parse_args(arguments)
    try:
        return _grade(options)
    except OSError as error:
        print(f"{error.filename or 'a file'}: {error.strerror or error}.", file=sys.stderr)
        return 1


def _grade(options: argparse.Namespace) -> int:
    kept = options.csv.with_suffix(".kept")
    handed_in = submissions(options.folder, checks.STEMS, (options.html, kept))
    if not handed_in:
        print(f"{options.folder} has no folder of a learner.", file=sys.stderr)
        return 1
    rules = _rules(options)
    _stop_when_asked(rules.stop)
    how = _how(handed_in, rules)
    print("\n".join(how), flush=True)
    grades = Class(handed_in, rules, options.processes, kept).grade(_say)
    _write(options, grades, how)
    if len(grades) < len(handed_in):
        left = _learners(len(handed_in) - len(grades))
        print(f"Stopped with {left} left: the same command goes on there.")
        return 1
    return 0


def _rules(options: argparse.Namespace) -> Rules:
    fonts = tuple(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))
    way = confinement.namespaces()
    memory = int(options.memory * 1e9)
    return Rules(options.seed, options.minutes * 60, memory, way, fonts)


def _how(handed_in: Sequence[Submission], rules: Rules) -> list[str]:
    """In sentences, what is graded and under which rules."""
    graded = f"{_learners(len(handed_in))}, by version {table.version()} of the course."
    allowed = f"{rules.seconds / 60:g} minutes and {rules.memory / 1e9:g} GB of memory"
    return [
        f"{graded} Every check ran with seed={rules.seed}.",
        f"{confinement.described(rules.way)} It had {allowed}.",
    ]


def _learners(count: int) -> str:
    return f"{count} learner{'' if count == 1 else 's'}"


def _write(options: argparse.Namespace, grades: Sequence[Graded], how: Sequence[str]) -> None:
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.csv, table.as_csv(grades))
    Report(grades, how).write(options.html)
    print(f"{options.csv} has the table, {options.html / 'index.html'} the class.")


def _say(line: str) -> None:
    print(line, flush=True)


def _stop_when_asked(stop: threading.Event) -> None:
    """Ctrl+C lets what is done be written, and ends the processes of those at work."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course.py grade", description=__doc__)
    parser.add_argument("folder", type=_folder, help="a folder per learner, with notebooks in it")
    parser.add_argument("--csv", type=Path, default=Path("results.csv"), metavar="FILE")
    parser.add_argument("--html", type=Path, default=Path("report"), metavar="FOLDER")
    parser.add_argument("--processes", type=_positive(int), default=_cores(), metavar="N")
    parser.add_argument("--minutes", type=_positive(float), default=15, help="for each learner")
    parser.add_argument("--memory", type=_positive(float), default=4, help="GB, for each learner")
    parser.add_argument("--seed", type=_seed, default=0, help="of every check")
    return parser


def _folder(word: str) -> Path:
    path = Path(word)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{word} is no folder")
    return path


def _positive(kind: type) -> Callable[[str], float]:
    def number(word: str) -> float:
        try:
            value = kind(word)
        except ValueError:
            value = 0
        if not 0 < value < 10_000:
            raise argparse.ArgumentTypeError(f"it must be a number above 0, got {word}")
        return value

    return number


def _seed(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**32:
        raise argparse.ArgumentTypeError(f"seed must be a number from 0 to 2**32 - 1, got {word}")
    return int(word)


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    print_anything(sys.stdout, sys.stderr)
    sys.exit(main(sys.argv[1:]))
