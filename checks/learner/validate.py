"""The validation of a learner's notebooks with nbval: which exercises pass in a fresh kernel."""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

import checks
from checks.grading.check import Check
from checks.grading.result import BOLD, RED, State
from checks.learner import job_summary
from checks.learner.dead_kernel import DIED
from checks.learner_files import paths, progress
from checks.learner_files.answers import Answer, answers, definitions
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read

CELL_SECONDS = 300
NOT_RUN = "it did not run, because an earlier cell ran out of time or ended the kernel"
CELL = re.compile(r"Cell \d+: ")
DEAD_BEFORE = "pytest plugin exception: Kernel dead on test start"  # nbval, of later cells


def validate(lessons: Sequence[str], *, everything: bool = False) -> int:
    """0 if every exercise of the lessons' notebooks in `work/` passes; prints a line for each.

    Set-up, definitions and exercises run without stored outputs, and then the lessons' own checks,
    whose verdicts the board learns; with `everything` all cells run, as they stand.
    """
    failed = 0
    for lesson in lessons:
        print(lesson)
        try:
            cells = read(paths.WORK / f"{lesson}.ipynb")
            lines, wrong = _run_all(lesson, cells) if everything else _grade(lesson, cells)
        except UnreadableNotebook as error:
            lines, wrong = [f"{error}."], 1
        for line in lines:
            print(f"  {line}")
        job_summary.add(lesson, lines)
        failed += wrong
    return 1 if failed else 0


def _run_all(lesson: str, cells: list[CodeCell]) -> tuple[list[str], int]:
    """Runs all cells: a line for each check and each failure, and how many failed."""
    return _told(cells, _failures(lesson, cells))


def _grade(lesson: str, cells: list[CodeCell]) -> tuple[list[str], int]:
    """Runs what decides and writes the board: a line for each exercise, and how many failed.

    A check runs as the lesson has it, even if its cell was changed, and after all definitions: the
    last one counts.
    """
    if not any(cell.role == "exercise" for cell in cells):
        raise UnreadableNotebook(
            f"{lesson}.ipynb in work/ has no exercise; move it away and `python3 course.py lab` "
            "copies a fresh one"
        )
    graded = checks.LESSONS[lesson]
    found = answers(cells, {check.id: check.name for check in graded})
    chosen = [f"{exercise}: {answer.choice}" for exercise, answer in found.items() if answer.choice]
    run = [*_defining(cells, found), *map(_check_cell, graded)]
    failures = _failures(lesson, run)
    for check, failure in zip(graded, failures[-len(graded) :], strict=True):
        if check.id in found and failure not in (DIED, NOT_RUN):
            progress.record_saved(check.id, _state(failure), found[check.id].code)
    lines, wrong = _told(run, failures)
    return [*chosen, *lines], wrong


def _defining(cells: list[CodeCell], found: Mapping[str, Answer]) -> list[CodeCell]:
    """Set-up, definitions and exercises in their order, and of other cells the answers in them.

    What is written of an open task is left out: nothing needs it.
    """
    open_tasks = {check.id for tasks in checks.OPEN_TASKS.values() for check in tasks}
    elsewhere = {answer.cell: answer.source for answer in found.values()}
    around = definitions(cells, found)
    return [
        cell if cell.role == "exercise" or cell.only_defines else replace(cell, source=source)
        for i, cell in enumerate(cells)
        for source in [elsewhere.get(i, cell.source)]
        if i in around or i in elsewhere or cell.role == "exercise"
        if cell.exercise not in open_tasks
    ]


def _state(failure: str) -> State:
    if failure.endswith("not written yet."):
        return "unwritten"
    return "wrong" if failure else "passed"


def _check_cell(check: Check) -> CodeCell:
    return CodeCell(f"import checks\nchecks.CHECKS[{check.id!r}]({check.name})", "check", check.id)


def _told(cells: list[CodeCell], failures: list[str]) -> tuple[list[str], int]:
    """A line for each check and each failure, and how many cells failed."""
    both = list(zip(cells, failures, strict=True))
    lines = [_line(cell, failure) for cell, failure in both if cell.role == "check" or failure]
    return lines, sum(bool(failure) for failure in failures)


def _failures(lesson: str, cells: list[CodeCell]) -> list[str]:
    """For each cell an empty text, or the one sentence with which it failed in a fresh kernel."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"{lesson}.ipynb"
        sources = [f"import os\nos.chdir({str(paths.WORK)!r})", *(cell.source for cell in cells)]
        nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
        outcomes = _nbval(path, as_if=paths.WORK / path.name)
    if len(outcomes) != len(sources):
        raise UnreadableNotebook(
            f"nbval ran {len(outcomes)} of the {len(sources)} cells of {lesson}"
        )
    return outcomes[1:]


def _line(cell: CodeCell, failure: str) -> str:
    check = checks.CHECKS.get(cell.exercise or "")
    name = f"{check.id} {check.name}" if check else cell.source.strip().partition("\n")[0][:60]
    if not failure:
        return f"✓ {name}: passed"
    return f"✗ {failure}" if failure.startswith(name) else f"✗ {name}: {failure}"


def _nbval(notebook: Path, as_if: Path) -> list[str]:
    """The failures of the cells; their kernel takes itself for that of the notebook `as_if`."""
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["-p", "checks.learner.dead_kernel"]
    command += ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    command += [f"--rootdir={notebook.parent}", f"--junitxml={report}", str(notebook)]
    run = subprocess.run(
        command,
        cwd=notebook.parent,
        env={**os.environ, "PYTHONUTF8": "1", "JPY_SESSION_NAME": str(as_if)},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if not report.exists():
        raise SystemExit(f"nbval could not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return [_failure(case) for case in ElementTree.parse(report).iter("testcase")]


def _failure(case: ElementTree.Element) -> str:
    kinds = ("failure", "error", "skipped")
    problem = next((child for child in case if child.tag in kinds), None)
    if problem is None:
        return ""
    coloured = (problem.text or "").replace("#x1B", "\x1b").splitlines()  # as JUnit writes it
    coloured = [line for line in coloured if _plain(line)]
    lines = [_plain(line) for line in coloured]
    if DIED in (problem.text or ""):
        return DIED
    if problem.tag == "skipped" or lines[-1:] == [DEAD_BEFORE]:
        return NOT_RUN
    if "Traceback:" in lines:
        return _last_words(coloured[lines.index("Traceback:") + 1 :])
    said = [line.partition(": ")[2] for line in lines if CELL.match(line)]
    return said[0] if said else "the cell failed"


def _last_words(trace: list[str]) -> str:
    """What a check shows in place of a traceback, or a traceback's last line."""
    if RED in trace[0] and _plain(trace[0]).startswith("✗"):
        said = " ".join(_plain(line) for line in trace[1:] if BOLD in line)
        return ": ".join(filter(None, [_plain(trace[0]).lstrip("✗ "), said]))
    first, last = _plain(trace[0]), _plain(trace[-1])
    return first if first.endswith("not written yet.") else last


def _plain(text: str) -> str:
    """The text without the colours of a terminal, and without spaces around it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
