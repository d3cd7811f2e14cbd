"""Whatever a learner did to a notebook, and whatever a lesson became: nothing is lost."""

import random
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from checks.learner.updating.cells import code_cells
from checks.learner.updating.update import update
from checks.learner_files.answers import answers
from tests.unit.checks.learner.updating.editors import EDITORS
from tests.unit.checks.learner.updating.small_course import (
    MY_ONE,
    MY_TWO,
    TWO_ANEW,
    first,
    second,
    text,
)

NAMES = {"D1.1": "one", "D1.2": "two"}
SEEDS = range(60)


def by_a_learner(cells: list, chance: random.Random) -> list:
    """Some edits, of every kind that a notebook lets one do."""
    for number in range(chance.randint(1, 8)):
        at = chance.randrange(len(cells))
        edit = chance.choice(["write", "note", "delete", "double", "move", "split", "try", "solve"])
        if edit == "write":
            cells[at].source += f"\n# my words {number}"
        elif edit == "note":
            cells.insert(at, new_markdown_cell(f"note {number}"))
        elif edit == "delete" and len(cells) > 3:
            del cells[at]
        elif edit == "double":
            cells.insert(at, {**deepcopy(cells[at]), "id": f"double{number}"})
            cells[at] = type(cells[at + 1])(cells[at])
        elif edit == "move":
            cells.insert(chance.randrange(len(cells)), cells.pop(at))
        elif edit == "split":
            lower = deepcopy(cells[at])
            lower.id, lower.source = f"split{number}", f"# lower half {number}\n{lower.source}"
            cells[at].source = f"# upper half {number}"
            cells.insert(at + 1, lower)
        elif edit == "try":
            cells.insert(at, new_code_cell(f"{MY_TWO}  # try {number}\nprint({number})"))
        else:
            solve(cells)
    return cells


def solve(cells: list) -> None:
    for cell in cells:
        if "raise NotImplementedError" in cell.source and cell.cell_type == "code":
            cell.source = MY_ONE if "one" in cell.source else MY_TWO


def by_the_makers(cells: list, chance: random.Random) -> list:
    """A newer lesson: sections moved, texts changed, cells gone and new."""
    for number in range(chance.randint(1, 6)):
        at = chance.randrange(len(cells))
        edit = chance.choice(["change", "new", "gone", "move", "ask"])
        if edit == "new":
            cells.insert(at, text(f"A newer text {number}."))
        elif edit == "ask":
            cells[at].source = TWO_ANEW if "def two" in cells[at].source else cells[at].source
        elif cells[at].metadata.get("exercise"):
            continue
        elif edit == "gone" and len(cells) > 5:
            del cells[at]
        elif edit == "move":
            cells.insert(chance.randrange(len(cells)), cells.pop(at))
        elif edit == "change" and cells[at].cell_type == "markdown":
            cells[at] = text(f"{cells[at].source} Changed {number}.")
    return cells


def given(course) -> dict[str, str]:
    """The digests of the answers that are more than a stub, by exercise."""
    found = answers(code_cells(course.mine), NAMES)
    written = {e: a for e, a in found.items() if "raise NotImplementedError" not in a.source}
    return {exercise: answer.code for exercise, answer in written.items() if answer.code}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_the_answers_stay(course, seed, capsys):
    chance = random.Random(seed)
    course.save(by_a_learner(first(), chance))
    if seed % 2:
        course.mine.write_bytes(chance.choice(EDITORS)(course.mine.read_bytes()))
    if seed % 3 == 0:
        course.base.unlink()
    course.release(by_the_makers(second() if seed % 5 else first(), chance))
    before, codes = [s.replace("\r\n", "\n") for s in course.sources()], given(course)
    stubs = {cell.source for cell in (*first(), *second())}
    assert update() == 0, capsys.readouterr().err
    after = course.sources()
    assert not {source for source in before if source not in stubs} - {*after}
    assert codes.items() <= given(course).items()
    nbformat.validate(nbformat.reader.reads(course.mine.read_text(encoding="utf-8")))
    assert update() == 0
    assert course.sources() == after and len(course.backups()) <= 1
