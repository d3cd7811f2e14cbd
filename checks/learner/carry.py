"""Carries a learner's own parts into a later lesson, where they pass; else the reference's.

One namespace serves all parts, so every mixture works: a learner's layer finds the reference's
dispatch under the same global name, and the other way round.
"""

import html
import importlib
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import checks
from checks.grading.check import Check
from checks.grading.result import State
from checks.learner import remembered
from checks.learner.shared_names import SharedNames
from checks.learner_files import paths, progress, this_notebook
from checks.learner_files.answers import Answer, answers, definitions
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read

NOT_WRITTEN = "not written yet"
BORROWED = "borrowed from the reference"


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

    `yours` and `reference` name parts to take from one side whatever the checks say. In a notebook
    outside `work/` all parts are the reference's.
    """
    _refuse_unknown(lessons, {"yours": yours, "reference": reference})
    forced = {**dict.fromkeys(yours, "yours"), **dict.fromkeys(reference, "reference")}
    if this_notebook.is_learners():
        return saved_parts(lessons, forced)
    names, origin = SharedNames(), dict[str, str]()
    for lesson in lessons:
        _run_reference(lesson, names, list(origin))
        origin |= {check.name: "reference" for check in checks.LESSONS[lesson]}
    why = this_notebook.why_not()
    notes = (f"All parts are the reference's: {why}.",) if why else ()
    return Carried({name: names[name] for name in origin}, origin, notes)


def _refuse_unknown(lessons: Sequence[str], forced: dict[str, Sequence[str]]) -> None:
    for lesson in lessons:
        if lesson not in checks.STEMS:
            raise ValueError(f"lesson must be one of {', '.join(checks.STEMS)}, got {lesson!r}")
    known = [check.name for lesson in lessons for check in checks.LESSONS[lesson]]
    for side, names in forced.items():
        for name in names:
            if name not in known:
                raise ValueError(f"{side} must name parts among {', '.join(known)}, got {name!r}")


def saved_parts(lessons: Sequence[str], forced: Mapping[str, str]) -> Carried:
    """The same from anywhere, of the notebooks saved in `work/`; `forced` is a side by part.

    Cells run in `work/`, where their notebooks lie; afterwards the current folder is what it was.
    """
    carrying = _Carrying(SharedNames(), forced, {}, [], [])
    with chdir(paths.WORK):
        for lesson in lessons:
            carrying.add(lesson)
    carrying.names.show_modules()
    parts = {name: carrying.names[name] for name in carrying.origin}
    return Carried(parts, carrying.origin, tuple(carrying.notes))


def _run_reference(lesson: str, names: SharedNames, earlier: Sequence[str]) -> None:
    """Run the reference's modules in `names`; the parts carried before them stay."""
    kept = {name: names[name] for name in earlier}
    modules = dict.fromkeys(c.reference_answer.__module__ for c in checks.LESSONS[lesson])
    for module in modules:
        path = Path(str(importlib.import_module(module).__file__))
        names.run(path.read_text(encoding="utf-8"), str(path), f"carried_{lesson}", limited=False)
    names.update(kept)


@dataclass(frozen=True)
class _Carrying:
    """What is bound so far: the names, whose each part is, notes, and the cells that were read."""

    names: SharedNames
    forced: Mapping[str, str]
    origin: dict[str, str]
    notes: list[str]
    told: list[str]

    def add(self, lesson: str) -> None:
        """Bind the lesson's parts: the reference's, and over it the learner's that pass."""
        graded = checks.LESSONS[lesson]
        _run_reference(lesson, self.names, list(self.origin))
        self.origin.update({check.name: "reference" for check in graded})
        try:
            cells = read(paths.WORK / f"{lesson}.ipynb")
        except UnreadableNotebook as error:
            self.notes.append(f"{error}. All parts of this lesson are the reference's.")
            return
        found = answers(cells, {check.id: check.name for check in graded})
        self._run_definitions(lesson, definitions(cells, found))
        for check in graded:
            if self.forced.get(check.name) != "reference":
                self._add_part(lesson, check, found.get(check.id))

    def _run_definitions(self, lesson: str, cells: Mapping[int, CodeCell]) -> None:
        """Run set-up and what only defines, which replace no part; note what was left out.

        The notes are told too: a verdict without a cell that was left out is no verdict on all.
        """
        for number, cell in cells.items():
            place = f"code cell {number + 1}"
            kept = {name: self.names[name] for name in self.origin}
            limited = cell.role != "setup"
            problem = self._run(cell.python, f"{lesson}.ipynb, {place}", lesson, limited=limited)
            self.names.update(kept)
            self._note_left_out(f"{lesson}.ipynb, {place}", cell.left_out)
            if problem:
                self.notes.append(
                    f"{place.capitalize()} of {lesson}.ipynb was left out: {problem}."
                )
            self.told.extend([cell.python, problem])

    def _add_part(self, lesson: str, check: Check, answer: Answer | None) -> None:
        if answer is None:
            self.origin[check.name] = "reference (yours: its cell is missing)"
            return
        place = f"{lesson}.ipynb, {check.id}"
        self.notes.extend([f"{place}: {answer.choice}"] if answer.choice else [])
        self._note_left_out(place, answer.left_out)
        problem = self._bind(lesson, check, answer)
        self.told.append(answer.source)
        if self.forced.get(check.name) != "yours":
            progress.record_saved(check.id, _state(problem), answer.code)
        self.origin[check.name] = f"reference (yours: {problem})" if problem else "yours"

    def _note_left_out(self, place: str, lines: Sequence[str]) -> None:
        for line in lines:
            self.notes.append(f"{place}: `{line}` is left out, since only a notebook can run it.")

    def _bind(self, lesson: str, check: Check, answer: Answer) -> str:
        """Empty once the learner's part is bound, else why the reference's stays."""
        digest = remembered.digest(self.told, answer.source, self.origin)
        known = remembered.verdict(digest)
        wanted = self.forced.get(check.name) == "yours"
        if known and not wanted:
            return known
        kept = {name: self.names[name] for name in self.origin}
        del self.names[check.name]
        problem = self._run(answer.source, f"{lesson}.ipynb, {check.id}", f"{lesson}_{check.name}")
        part = self.names.get(check.name)
        self.names.update(kept)
        if not problem and part is None:
            problem = f"its cell defines no {check.name}"
        if part is check.reference_answer and not wanted:
            problem = BORROWED
        if not problem:
            self.names[check.name] = part
            problem = "" if wanted else self._judge(check, part, digest, known)
        if problem:
            self.names[check.name] = kept[check.name]
        return problem

    def _run(self, source: str, place: str, module: str, *, limited: bool = True) -> str:
        return self.names.run(source, f"<{place}>", f"carried_{module}", limited=limited)

    def _judge(self, check: Check, part: object, digest: str, known: str | None) -> str:
        """Why the part does not pass, or an empty text; remembered unless it was bad luck."""
        if known is not None:
            return known
        failure = check.failure(part)
        problem = failure.message.rstrip(".") if failure else ""
        if failure is None or failure.lasts:
            remembered.remember(digest, problem)
        return problem


def _state(problem: str) -> State:
    known: dict[str, State] = {"": "passed", NOT_WRITTEN: "unwritten", BORROWED: "borrowed"}
    return known.get(problem, "wrong")
