"""`python -m checks.learner.watch d1`: the lesson is checked whenever its notebook is saved."""

import argparse
import os
import sys

import checks
from checks.learner.watch.watcher import Watcher, plain
from checks.learner_files import paths
from checks.learner_files.console import print_anything


def _lesson(word: str) -> str:
    for stem in checks.STEMS:
        if word in (stem, stem[:2]):
            return stem
    known = ", ".join(stem[:2] for stem in checks.STEMS)
    raise argparse.ArgumentTypeError(f"lesson must be one of {known}, got {word}")


def _shows_colours() -> bool:
    """Whether whoever reads is a terminal that knows them; an old Windows console does not."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return wanted and (os.name != "nt" or "WT_SESSION" in os.environ)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py watch", description=__doc__)
    parser.add_argument("lesson", type=_lesson)
    lesson = parser.parse_args(words).lesson
    if not (paths.WORK / f"{lesson}.ipynb").is_file():
        print(f"work/ has no {lesson}.ipynb: python3 course.py lab copies it there.")
        return 1
    colours = _shows_colours()
    try:
        Watcher(lesson, lambda line: print(line if colours else plain(line), flush=True)).watch()
    except (KeyboardInterrupt, BrokenPipeError):  # Ctrl+C, or nobody reads any more
        return 0
    return 0


if __name__ == "__main__":
    print_anything(sys.stdout, sys.stderr)
    sys.exit(main())
