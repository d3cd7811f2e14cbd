"""`course.py update`: newer lessons merged into the learner's notebooks in `work/`."""

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from checks.learner.updating import backups, lessons
from checks.learner.updating.backups import Backup
from checks.learner.updating.cells import Cell, as_bytes, code_cells, load
from checks.learner.updating.lessons import Refused
from checks.learner.updating.merging import merge, missing, touched
from checks.learner.updating.origin import fits, origin
from checks.learner_files.answers import Answer, answers
from checks.learner_files.notebook import UnreadableNotebook
from helpers.atomic_file import write_atomically

WORDS = {
    "changed": "changed",
    "new": "new",
    "gone": "gone",
    "beside": "changed, and yours, which you had changed too, stands below",
    "asks": "changed, and your answer stays below a note of what is asked now",
}
COUNTED = {**WORDS, "beside": "changed", "asks": "changed"}
MOST = 20  # lines of the report for a lesson, beside those on what the learner has changed too
NO_BASE = (
    "work/.course/base has no copy that it was made from, so the course's texts are known by "
    "their cells' ids, and whatever else differs is kept beside the new"
)

BACKUP = (
    "What was there is in {}; `python3 course.py update --undo` brings it back. In JupyterLab, "
    "File > Reload Notebook from Disk shows an open notebook anew."
)


@dataclass(frozen=True)
class Plan:
    """What one lesson's notebook becomes; `notes` say how where that is not as usual."""

    stem: str
    before: bytes
    after: bytes
    changes: list[tuple[str, str]]
    notes: list[str]

    @property
    def is_new(self) -> bool:
        return self.before != self.after


def update() -> int:
    """0 once every notebook in `work/` has what is new in its lesson; prints what changed.

    A notebook that cannot be merged stays as it is, with a sentence; then it is 1.
    """
    there = [stem for stem in lessons.stems() if lessons.of_the_learner(stem).is_file()]
    if not there:
        raise Refused("work/ has no notebook yet: `python3 course.py lab` copies them there.")
    found = [_planned(stem) for stem in there]
    plans = [plan for plan in found if isinstance(plan, Plan)]
    news = [plan for plan in plans if plan.is_new]
    folder = _kept(news) if news else None
    problems = [plan for plan in found if isinstance(plan, str)]
    for plan in plans:
        if problem := _write(plan):
            problems.append(problem)
        else:
            print("\n".join(_report(plan)))
    if folder:
        print(BACKUP.format(backups.shown(folder)))
    print("".join(f"{problem}\n" for problem in problems), end="", file=sys.stderr)
    return 1 if problems else 0


def _planned(stem: str) -> Plan | str:
    """The plan for a lesson, or the sentence that says why there is none."""
    try:
        return planned(stem)
    except UnreadableNotebook as error:
        return f"{error}. `python3 course.py restart {stem[:2]}` does this, and keeps the file."
    except Refused as error:
        return str(error)
    except UnicodeEncodeError:
        return f"{stem}.ipynb holds half a letter, which no file can, so it stays as it is."


def planned(stem: str) -> Plan:
    """What the learner's notebook becomes. Raises `UnreadableNotebook`, or `Refused`."""
    path, base = lessons.of_the_learner(stem), _base(stem)
    before, whole, new = path.read_bytes(), load(path), load(lessons.of_the_course(stem))
    asked = {**lessons.names(base or []), **lessons.names(new.cells)}
    given = answers(code_cells(path), asked)
    answered = _places(whole.cells, given)
    notes = []
    if base is None or not fits(base, whole.cells):
        base, notes = origin(whole.cells, new.cells, answered), [NO_BASE]
    merged = merge(base, whole.cells, new.cells, answered)
    _require_all(stem, missing(base, whole.cells, merged.cells))
    after = as_bytes(Cell({**whole, "metadata": {**new.metadata, **whole.metadata}}), merged.cells)
    worked_on = touched(base, whole.cells, answered)
    _require_answers(stem, {e: a for e, a in given.items() if e in worked_on}, after, asked)
    is_new = after != as_bytes(whole, deepcopy(whole.cells))
    return Plan(stem, before, after if is_new else before, merged.changes, notes)


def _base(stem: str) -> list[Cell] | None:
    try:
        return load(lessons.base(stem)).cells
    except UnreadableNotebook:
        return None


def _places(cells: list[Cell], given: Mapping[str, Answer]) -> dict[str, int]:
    """The place of each answer among all cells."""
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    return {exercise: code[answer.cell] for exercise, answer in given.items()}


def _require_all(stem: str, lost: list[str]) -> None:
    if lost:
        raise Refused(f"{stem}.ipynb stays as it is: merged, it would lack your cell {lost[0]!r}.")


def _require_answers(
    stem: str, given: Mapping[str, Answer], after: bytes, asked: Mapping[str, str]
) -> None:
    """Raises `Refused` unless the merged file, read back, still has the answers `given`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{stem}.ipynb"
        path.write_bytes(after)
        now = answers(code_cells(path), asked)
    for exercise, answer in given.items():
        if answer.code and (exercise not in now or now[exercise].code != answer.code):
            raise Refused(
                f"{stem}.ipynb stays as it is: merged, it would have another answer to {exercise}."
            )


def _kept(plans: list[Plan]) -> Path:
    written = {plan.stem: sha256(plan.after).hexdigest() for plan in plans}
    return backups.keep(Backup("update", list(written), written))


def _write(plan: Plan) -> str:
    """The notebook, then its base, in this order; the sentence that says what could not be."""
    path = lessons.of_the_learner(plan.stem)
    try:
        if path.read_bytes() != plan.before:
            return f"{path.name} was saved during the update and is as you saved it: update again."
        if plan.is_new:
            write_atomically(path, plan.after)
    except OSError as error:
        return f"{path.name} is as it was: it could not be written ({error.strerror or error})."
    try:
        write_base(plan.stem)
    except OSError as error:
        return f"The copy of {path.name} could not be kept ({error.strerror or error})."
    return ""


def write_base(stem: str) -> None:
    """Afterwards the lesson as it is now is what later updates take the learner's to come from."""
    path, data = lessons.base(stem), lessons.of_the_course(stem).read_bytes()
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)


def _report(plan: Plan) -> list[str]:
    name = f"{plan.stem}.ipynb"
    notes = [f"{name}: {note}." for note in plan.notes if plan.is_new]
    if not plan.changes:
        mended = "; ids and tags that the course needs are back" if plan.is_new else ""
        return [*notes, f"{name}: nothing new{mended}."]
    counts = Counter(COUNTED[word] for word, _ in plan.changes)
    counted = ", ".join(f"{count} {word}" for word, count in counts.items())
    return [*notes, f"{name}: {counted}", *_told(plan.changes)]


def _told(changes: list[tuple[str, str]]) -> list[str]:
    """A line for each change, those first that meet the learner's own; of many not every one."""
    own = [change for change in changes if change[0] in ("beside", "asks")]
    rest = [change for change in changes if change not in own]
    more = [f"  and {len(rest) - MOST} more"] if len(rest) > MOST else []
    return [*(f"  {WORDS[word]}: {what}" for word, what in [*own, *rest[:MOST]]), *more]
