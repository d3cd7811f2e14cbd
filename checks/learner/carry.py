"""Carries a learner's own parts into a later lesson, where they pass; else the reference's.

One namespace serves all parts, so every mixture works: a learner's layer finds the reference's
dispatch under the same global name, and the other way round.
"""

import hashlib
import html
import importlib
import json
import linecache
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

from IPython.core.inputtransformer2 import TransformerManager

import checks
from checks.grading import time_limit, traceback
from checks.grading.check import Check
from checks.learner_files import paths, progress
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read
from helpers.atomic_file import write_atomically

SECONDS = 8.0  # a cell that only defines things computes no longer


@dataclass(frozen=True)
class Carried:
    """The parts of earlier lessons as attributes; `origin` says of each whose it is."""

    parts: dict[str, object]
    origin: dict[str, str]
    notes: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> object:
        if name in self.parts:
            return self.parts[name]
        raise AttributeError(f"nothing named {name} is carried; there are {', '.join(self.parts)}")

    def __repr__(self) -> str:
        parts = " · ".join(f"{name}: {whose}" for name, whose in self.origin.items())
        return "\n".join([*self.notes, parts])

    def _repr_html_(self) -> str:
        """A table with a column for each lesson, a cell for each part."""
        shown = {k: v for k, v in checks.LESSONS.items() if v[0].name in self.origin}
        parts = [[f"{c.name}: {self.origin[c.name]}" for c in of] for of in shown.values()]
        rows = [[lesson[:2].upper() for lesson in shown], *zip_longest(*parts, fillvalue="")]
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{notes}<table>{''.join(map(_row, rows))}</table>"


def _row(texts: Sequence[str]) -> str:
    cells = (f'<td style="text-align: left">{html.escape(text)}</td>' for text in texts)
    return f"<tr>{''.join(cells)}</tr>"


def carry(*lessons: str, yours: Sequence[str] = (), reference: Sequence[str] = ()) -> Carried:
    """Every part of `lessons`, in order: the learner's where it passes, else the reference's.

    `yours` and `reference` name parts to take from one side whatever the checks say. Outside
    `work/` all parts are the reference's.
    """
    _refuse_unknown(lessons, {"yours": yours, "reference": reference})
    namespace = _fresh_namespace()
    origin: dict[str, str] = {}
    notes: list[str] = []
    told: list[str] = []
    for lesson in lessons:
        _bind_reference(lesson, namespace, list(origin))
        forced = {**dict.fromkeys(yours, "yours"), **dict.fromkeys(reference, "reference")}
        notes += _bind_learners(lesson, namespace, origin, forced, told)
    return Carried({name: namespace[name] for name in origin}, origin, tuple(notes))


def _refuse_unknown(lessons: Sequence[str], forced: dict[str, Sequence[str]]) -> None:
    for lesson in lessons:
        if lesson not in checks.STEMS:
            raise ValueError(f"lesson must be one of {', '.join(checks.STEMS)}, got {lesson!r}")
    known = [check.name for lesson in lessons for check in checks.LESSONS[lesson]]
    for side, names in forced.items():
        for name in names:
            if name not in known:
                raise ValueError(f"{side} must name parts among {', '.join(known)}, got {name!r}")


def _fresh_namespace() -> dict[str, object]:
    module = ModuleType("carried")
    sys.modules["carried"] = module  # dataclasses and pickle look a class's module up there
    return vars(module)


def _bind_reference(lesson: str, namespace: dict, earlier: list[str]) -> None:
    """Run the reference's code in `namespace`; the parts carried before it stay."""
    kept = {name: namespace[name] for name in earlier}
    path = Path(str(importlib.import_module(f"solutions.{lesson}").__file__))
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
    namespace.update(kept)


def _bind_learners(
    lesson: str, namespace: dict, origin: dict, forced: dict, told: list[str]
) -> list[str]:
    """Bind the learner's parts in place of the reference's where they pass; the notes for the rest.

    `told` are the cells of the earlier lessons, and afterwards those of this one too.
    """
    graded = checks.LESSONS[lesson]
    origin.update({check.name: "reference" for check in graded})
    if not progress.in_work():
        return []
    try:
        cells = read(paths.WORK / f"{lesson}.ipynb")
    except UnreadableNotebook as error:
        return [f"{error}. All parts of this lesson are the reference's."]
    told += [cell.source for cell in cells if cell.role != "plain" or cell.only_defines]
    notes = _run_definitions(lesson, cells, namespace, list(origin))
    told += notes  # a verdict without a cell that was left out is no verdict on the whole
    exercises = {cell.exercise: cell.source for cell in cells if cell.role == "exercise"}
    for check in graded:
        if forced.get(check.name) == "reference":
            continue
        source = exercises.get(check.id)
        digest = _digest(told, source, origin)
        problem = _bind_one(lesson, check, source, namespace, forced, digest)
        whose = f"reference (yours: {problem})" if problem else "yours"
        origin[check.name] = whose
    return notes


def _run_definitions(
    lesson: str, cells: list[CodeCell], namespace: dict, parts: list[str]
) -> list[str]:
    """Notes of what failed of set-up and the cells that only define, which replace no part."""
    notes = []
    for number, cell in enumerate(cells):
        if cell.role == "setup" or (cell.role == "plain" and cell.only_defines):
            kept = {name: namespace[name] for name in parts}
            problem = _execute(cell.source, f"<{lesson}.ipynb, code cell {number + 1}>", namespace)
            namespace.update(kept)
            if problem:
                notes.append(f"Code cell {number + 1} of {lesson}.ipynb was left out: {problem}.")
    return notes


def _bind_one(
    lesson: str, check: Check, source: str | None, namespace: dict, forced: dict, digest: str
) -> str:
    """Empty once the learner's part is bound, else why it is not; the reference's then stays."""
    if source is None:
        return "its cell is missing"
    known = _verdicts().get(digest)
    wanted = forced.get(check.name) == "yours"
    if known and not wanted:
        return known
    reference = namespace[check.name]
    namespace.pop(check.name)
    problem = _execute(source, f"<{lesson}.ipynb, {check.id}>", namespace)
    if not problem and check.name not in namespace:
        problem = f"its cell defines no {check.name}"
    if not problem and not wanted and known is None:
        failure = check.failure(namespace[check.name])
        problem = failure.message.rstrip(".") if failure else ""
        if failure is None or failure.state != "stopped":  # a slow moment is no verdict
            _remember(digest, problem)
    if problem:
        namespace[check.name] = reference
    return problem


def _execute(source: str, file: str, namespace: dict) -> str:
    """Empty once `source` ran in `namespace`, else what it raised, in one sentence."""
    plain = TransformerManager().transform_cell(source)
    linecache.cache[file] = (len(plain), None, plain.splitlines(True), file)
    try:
        code = compile(plain, file, "exec", dont_inherit=True)
        time_limit.call(lambda: exec(code, namespace), SECONDS)
    except KeyboardInterrupt:
        raise
    except time_limit.TooSlow as slow:
        return f"it {slow}"
    except BaseException as error:
        return traceback.sentence(error)
    return ""


def _digest(told: list[str], source: str | None, origin: dict) -> str:
    """A digest of what a verdict depends on: the cells, whose the other parts are, the course."""
    everything = [*told, source or "", json.dumps(origin), _course()]
    return hashlib.sha256("\0".join(everything).encode()).hexdigest()


def _course() -> str:
    """A digest of the code of the course, without the bank of answers."""
    folders = (paths.ROOT / name for name in ("checks", "solutions", "helpers"))
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    code = (file.read_bytes() for file in files if not file.is_relative_to(paths.BANK))
    return hashlib.sha256(b"\0".join(code)).hexdigest()


def _verdicts() -> dict[str, str]:
    try:
        kept = json.loads((paths.WORK / "verdicts.json").read_text(encoding="utf-8"))
        return {str(digest): str(problem) for digest, problem in kept.items()}
    except (OSError, ValueError, AttributeError):
        return {}  # only a memory: what is lost is judged again


def _remember(digest: str, problem: str) -> None:
    with suppress(OSError):  # on a full disk the verdict is not remembered, and the part is carried
        verdicts = json.dumps({**_verdicts(), digest: problem})
        write_atomically(paths.WORK / "verdicts.json", verdicts)
