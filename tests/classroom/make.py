"""A class of distinct learners in a folder: `python -m tests.classroom.make FOLDER`.

Answers are the bank's, right and wrong ones, and gaps. Every tenth learner hands in what is broken,
hostile or endless. Folders are laid out in the three ways that there are.
"""

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from checks import LESSONS, STEMS, Check
from checks.audit.answers import answers_to
from course import ROOT
from tests.classroom.cells import cell_of, is_in_its_module
from tests.classroom.hostile import BROKEN, HOSTILE

LEARNERS = 50
EVERY = 10  # of whom one is hostile
Wanted = dict[str, str]  # for an exercise right, wrong, unwritten or hostile


def main(folder: Path) -> None:
    made = dict(made_class(folder))
    (folder.parent / f"{folder.name}.json").write_text(json.dumps(made, indent=1))
    print(f"{len(made)} learners in {folder}; what they wrote is in {folder.name}.json beside it")


def made_class(folder: Path, learners: int = LEARNERS) -> Iterator[tuple[str, Wanted]]:
    """Each learner's name with what they wrote, by exercise; `folder` has their notebooks."""
    seen: set[bytes] = set()
    for number in range(learners):
        name = f"learner-{number:02}"
        is_hostile = number % EVERY == EVERY - 1
        wanted = {} if is_hostile else _choices(random.Random(number))
        texts = _hostile(number // EVERY) if is_hostile else _honest(random.Random(number), wanted)
        digest = hashlib.sha256(json.dumps(texts).encode()).digest()
        assert digest not in seen, f"{name} is like another learner"
        seen.add(digest)
        _save(folder / name, number % 3, texts)
        yield name, wanted or dict.fromkeys(_exercises(), "hostile")


def _exercises() -> dict[str, Check]:
    return {check.id: check for graded in LESSONS.values() for check in graded}


def _choices(draw: random.Random) -> Wanted:
    """Half of the lessons are right throughout; of the others a fifth is wrong or not written."""
    wanted: Wanted = {}
    for graded in LESSONS.values():
        weights = (1, 0, 0) if draw.random() < 0.5 else (8, 1, 1)
        kinds = draw.choices(("right", "wrong", "unwritten"), weights, k=len(graded))
        wanted |= {check.id: kind for check, kind in zip(graded, kinds, strict=True)}
    return wanted


def _honest(draw: random.Random, wanted: Wanted) -> dict[str, str]:
    cells = {}
    for exercise, check in _exercises().items():
        if wanted[exercise] != "unwritten":
            cells[exercise] = cell_of(draw.choice(_bank(check, wanted[exercise])), check)
    return {stem: _notebook(stem, cells) for stem in STEMS}


def _bank(check: Check, kind: str) -> list:
    return [answer for answer in getattr(answers_to(check), kind) if is_in_its_module(answer)]


def _hostile(number: int) -> dict[str, str]:
    """Notebooks that are none, or with a hostile line in some of the exercises."""
    kinds = [BROKEN, *HOSTILE.values()]
    kind = kinds[number % len(kinds)]
    if kind is BROKEN:
        return dict(BROKEN)
    right = {e: cell_of(_bank(check, "right")[number], check) for e, check in _exercises().items()}
    return {stem: _notebook(stem, right, kind) for stem in STEMS}


def _notebook(stem: str, cells: dict[str, str], lines: dict[str, str] | None = None) -> str:
    """The learner's notebook of a lesson with these cells; `lines` replace what is asked for."""
    notebook = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        exercise = cell["metadata"].get("exercise")
        if "exercise" not in cell["metadata"].get("tags", []):
            continue
        if lines and exercise in lines:
            stub = "".join(cell["source"])
            cell["source"] = stub.replace("raise NotImplementedError", lines[exercise])
        elif exercise in cells:
            cell["source"] = cells[exercise]
    return json.dumps(notebook)


def _save(folder: Path, layout: int, texts: dict[str, str]) -> None:
    """Side by side, as GitHub Classroom clones a copy of the course, or as nbgrader collects."""
    for stem, text in texts.items():
        place = folder / ("", "work", stem[:2])[layout]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{stem}.ipynb").write_text(text, encoding="utf-8")
    board = {"D1.1": {"state": "passed", "hints": 1 + layout}}
    (place / "progress.json").write_text(json.dumps(board), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
