"""`course.py reset D1.3` and `course.py restart d1`: an exercise, or a lesson, begun anew."""

from copy import deepcopy
from hashlib import sha256

from checks.learner.updating import backups, lessons
from checks.learner.updating.backups import Backup
from checks.learner.updating.cells import (
    Cell,
    as_bytes,
    code_cells,
    defines_only,
    exercises,
    load,
    part,
)
from checks.learner.updating.lessons import Refused
from checks.learner.updating.order import Key, woven
from checks.learner.updating.pairing import pairs
from checks.learner.updating.update import BACKUP, write_base
from checks.learner_files import progress
from checks.learner_files.answers import answers
from checks.learner_files.notebook import UnreadableNotebook
from helpers.atomic_file import write_atomically


def restart(word: str) -> int:
    """Afterwards the lesson's notebook is the course's, and nothing of it is on the board."""
    stem = lessons.stem_of(word)
    data = lessons.of_the_course(stem).read_bytes()
    short = stem.split("_")[0].upper()
    board = {e: entry for e, entry in progress.read().items() if e.startswith(f"{short}.")}
    folder = backups.keep(Backup("restart", [stem], {stem: sha256(data).hexdigest()}, board))
    write_atomically(lessons.of_the_learner(stem), data)
    write_base(stem)
    _put_on_the_board({e: {} for e in board})
    print(f"{stem}.ipynb is as at the start.")
    print(BACKUP.format(backups.shown(folder)))
    return 0


def reset(word: str) -> int:
    """Afterwards the exercise's cell is the stub of the lesson as it is now."""
    stem = lessons.stem_of(word)
    new = load(lessons.of_the_course(stem)).cells
    exercise = _exercise(word, exercises(new))
    name = lessons.names(new)[exercise]
    whole = load(lessons.of_the_learner(stem))
    data = as_bytes(whole, _with_stub(whole.cells, new, exercise, name))
    board = {e: entry for e, entry in progress.read().items() if e == exercise}
    folder = backups.keep(Backup("reset", [stem], {stem: sha256(data).hexdigest()}, board))
    write_atomically(lessons.of_the_learner(stem), data)
    _renew_in_base(stem, exercise, exercises(new)[exercise])
    _put_on_the_board({e: _hints(entry) for e, entry in board.items()})
    print(f"{exercise} {name} in {stem}.ipynb is as at the start.")
    print(BACKUP.format(backups.shown(folder)))
    _tell_others(stem, exercise, name)
    return 0


def _hints(entry: dict) -> dict:
    """What was seen stays seen."""
    return {"hints": entry["hints"]} if "hints" in entry else {}


def _exercise(word: str, stubs: dict[str, Cell]) -> str:
    for exercise in stubs:
        if word.lower() == exercise.lower():
            return exercise
    raise Refused(f"There is no exercise {word}; there are {', '.join(stubs)}.")


def _with_stub(cells: list[Cell], new: list[Cell], exercise: str, name: str) -> list[Cell]:
    """The learner's cells, with the stub in the place of all that do nothing but answer it."""
    own = [i for i, cell in enumerate(cells) if _answers_it(cell, exercise, name)]
    marked = [i for i in own if part(cells[i])]
    stub = deepcopy(exercises(new)[exercise])
    if not own:
        return _with_stub_added(cells, new, stub)
    at = (marked or own)[-1]
    return [stub if i == at else cell for i, cell in enumerate(cells) if i == at or i not in own]


def _with_stub_added(cells: list[Cell], new: list[Cell], stub: Cell) -> list[Cell]:
    """The stub stands behind what it stands behind in the lesson."""
    paired = pairs(new, cells)
    keys: list[Key] = [paired.get(i, ("mine", i)) for i in range(len(cells))]
    place = next(j for j, cell in enumerate(new) if part(cell) == part(stub))
    held = dict(zip(keys, cells, strict=True)) | {place: stub}
    return [held[key] for key in woven(keys, range(len(new))) if key in held]


def _answers_it(cell: Cell, exercise: str, name: str) -> bool:
    """Whether it is the exercise's, or unmarked and there only to define what is asked."""
    if part(cell):
        return part(cell) == ("exercise", exercise)
    return defines_only(cell) == name


def _renew_in_base(stem: str, exercise: str, stub: Cell) -> None:
    """Afterwards the base has this stub, so that an update takes it for untouched."""
    try:
        base = load(lessons.base(stem))
    except UnreadableNotebook:
        return
    for cell in base.cells:
        if part(cell) == ("exercise", exercise) and cell.source != stub.source:
            cell.source = stub.source
            write_atomically(lessons.base(stem), as_bytes(base, base.cells))


def _put_on_the_board(entries: dict[str, dict]) -> None:
    """Afterwards the board holds these entries, and not one that is empty, beside the rest."""
    with progress.alone():
        kept = progress.read()
        left = {e: entry for e, entry in {**kept, **entries}.items() if entry}
        if left != kept:
            progress.write(left)


def _tell_others(stem: str, exercise: str, name: str) -> None:
    """Say which cell still answers the exercise, where one does that has more in it."""
    cells = code_cells(lessons.of_the_learner(stem))
    answer = answers(cells, {exercise: name}).get(exercise)
    if answer and not cells[answer.cell].is_of(exercise):
        print(f"Code cell {answer.cell + 1} still defines {name}, and as the last one it counts.")
