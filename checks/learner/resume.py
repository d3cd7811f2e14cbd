"""After a restart of the kernel: what the learner has passed is defined again, without Run All.

What passed is what the board says of the code that lies in the saved notebook; nothing is judged
anew, so that it takes no time.
"""

import linecache
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import checks
from checks.grading import time_limit, traceback
from checks.grading.check import Check
from checks.learner.shared_names import SECONDS
from checks.learner_files import paths, progress, this_notebook
from checks.learner_files.answers import Answer, answers, definitions
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read

ELSEWHERE = "Nothing to bring back: this notebook is not in work/."


def resume(lesson: str, names: dict[str, object]) -> None:
    """The learner's passed parts of `lesson` are defined in `names`, and one line says which.

    `names` are the notebook's `globals()`. Parts that were borrowed are the reference's; functions
    and classes of cells that only define something come along. Outside `work/` nothing is defined.
    """
    if lesson not in checks.STEMS:
        raise ValueError(f"lesson must be one of {', '.join(checks.STEMS)}, got {lesson!r}")
    if not this_notebook.is_learners():
        print(ELSEWHERE)
        return
    try:
        cells = read(paths.WORK / f"{lesson}.ipynb")
    except UnreadableNotebook as error:
        print(f"Nothing to bring back: {error}.")
        return
    print(_resumed(lesson, cells, names))


@dataclass
class _Told:
    """What the line says: names that are back, those that are not and why."""

    back: list[str] = field(default_factory=list)
    unpassed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.back and not self.raised and not self.changed:
            return "Nothing to bring back yet: no part of this lesson has passed."
        groups = {
            "Back": self.back,
            "Not passed yet": self.unpassed,
            "Changed since it passed, so run its cell and its check": self.changed,
            "Not back": self.raised,
        }
        return " ".join(f"{why}: {', '.join(them)}." for why, them in groups.items() if them)


def _resumed(lesson: str, cells: Sequence[CodeCell], names: dict[str, object]) -> _Told:
    """Everything is defined in the notebook's order, as a run from its top would."""
    graded = checks.LESSONS[lesson]
    found = answers(cells, {check.id: check.name for check in graded})
    board, told = progress.read(), _Told()
    kept = {check.id: _state(board.get(check.id, {}), found.get(check.id)) for check in graded}
    told.unpassed = [check.name for check in graded if kept[check.id] == "not passed"]
    told.changed = [check.name for check in graded if kept[check.id] == "changed"]
    parts = {found[c.id].cell: c for c in graded if kept[c.id] in ("passed", "borrowed")}
    around = definitions(cells, found)
    for number, cell in enumerate(cells):
        place = f"code cell {number + 1}"
        if number in parts:
            check = parts[number]
            _bring(check, kept[check.id], found[check.id].source, place, names, told)
        elif number in around and cell.role != "setup":
            problem = _run(cell.python, f"<{lesson}.ipynb, {place}>", names)
            told.raised.extend([f"{place} ({problem})"] if problem else [])
    return told


def _state(entry: Mapping[str, object], answer: Answer | None) -> str:
    """Passed, borrowed, changed since it passed, or not passed: what the board says of a part."""
    state = entry.get("state")
    if state == "borrowed" and answer is not None:
        return "borrowed"
    if state != "passed" or answer is None:
        return "not passed"
    return "passed" if entry.get("code") == answer.code else "changed"


def _bring(
    check: Check, state: str, source: str, place: str, names: dict[str, object], told: _Told
) -> None:
    """The part is defined in `names`, the reference's where it was borrowed; told either way."""
    if state == "borrowed":
        names[check.name] = check.reference_answer
        told.back.append(f"{check.name} (borrowed)")
    elif problem := _run(source, f"<{check.id}, {place}>", names):
        told.raised.append(f"{check.name} ({problem})")
    else:
        told.back.append(check.name)


def _run(source: str, file: str, names: dict[str, object]) -> str:
    """Empty once `source` ran in `names`, else what it raised, in one sentence."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        code = compile(source, file, "exec", dont_inherit=True)
        time_limit.call(lambda: exec(code, names), SECONDS)
    except time_limit.TooSlow as slow:
        return f"it {slow}"
    except Exception as error:
        return traceback.sentence(error).rstrip(".")
    return ""
