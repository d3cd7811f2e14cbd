"""The files of a lesson: the course's own, the learner's, and the base that it was copied from."""

import ast
from collections.abc import Iterable
from pathlib import Path

from checks.learner.updating.cells import DEFINITIONS, Cell, exercises
from checks.learner_files import paths


class Refused(ValueError):
    """Nothing was changed; the message is the sentence that says why."""


def stems() -> list[str]:
    """The lessons that the course has, in order."""
    return sorted(path.stem for path in (paths.ROOT / "notebooks").glob("*.ipynb"))


def stem_of(word: str) -> str:
    """The lesson that `word` names, as d1 or d1_moe, or by one of its exercises, as D1.3."""
    short = word.lower().split(".")[0]
    for stem in stems():
        if short in (stem, stem.split("_")[0]):
            return stem
    known = ", ".join(stem.split("_")[0] for stem in stems())
    raise Refused(f"There is no lesson {word}; there are {known}.")


def of_the_course(stem: str) -> Path:
    return paths.ROOT / "notebooks" / f"{stem}.ipynb"


def of_the_learner(stem: str) -> Path:
    """The learner's file itself, where the name in `work/` is a link to it."""
    return (paths.WORK / f"{stem}.ipynb").resolve()


def base(stem: str) -> Path:
    return paths.WORK / ".course" / "base" / f"{stem}.ipynb"


def names(cells: Iterable[Cell]) -> dict[str, str]:
    """What each exercise asks to define, by its id: the last definition in its stub."""
    found: dict[str, str] = {}
    for exercise, stub in exercises(cells).items():
        tree = ast.parse(stub.source)
        defined = [node.name for node in tree.body if isinstance(node, DEFINITIONS)]
        found |= {exercise: defined[-1]} if defined else {}
    return found
