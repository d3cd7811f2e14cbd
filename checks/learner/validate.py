"""The validation of a learner's notebooks with nbval: which exercises pass in a fresh kernel."""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

import checks
from checks.grading.check import Check
from checks.learner.dead_kernel import DIED
from checks.learner_files import paths
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read

CELL_SECONDS = 300
DEAD_BEFORE = "pytest plugin exception: Kernel dead on test start"  # nbval, of later cells


def validate(lessons: Sequence[str], *, everything: bool = False) -> int:
    """0 if every exercise of the lessons' notebooks in `work/` passes; prints a line for each.

    Only set-up, definitions, exercises and the lessons' own checks run, without stored outputs;
    with `everything` all cells do, as they stand.
    """
    failed = 0
    for lesson in lessons:
        print(lesson)
        try:
            cells = read(paths.WORK / f"{lesson}.ipynb")
            failed += _validate(lesson, cells if everything else _graded(lesson, cells))
        except UnreadableNotebook as error:
            print(f"  {error}.")
            failed += 1
    return 1 if failed else 0


def _graded(lesson: str, cells: list[CodeCell]) -> list[CodeCell]:
    """The cells that decide; a check runs as the lesson has it, even if its cell was changed."""
    if not any(cell.role == "exercise" for cell in cells):
        raise UnreadableNotebook(
            f"{lesson}.ipynb in work/ has no exercise; move it away and `python3 course.py lab` "
            "copies a fresh one"
        )
    own = {check.id: _check_cell(check) for check in checks.LESSONS[lesson]}
    kept = [cell for cell in cells if cell.role != "plain" or cell.only_defines]
    graded = [own.pop(cell.exercise or "", cell) if cell.role == "check" else cell for cell in kept]
    return [*graded, *own.values()]


def _check_cell(check: Check) -> CodeCell:
    return CodeCell(f"import checks\nchecks.CHECKS[{check.id!r}]({check.name})", "check", check.id)


def _validate(lesson: str, cells: list[CodeCell]) -> int:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"{lesson}.ipynb"
        notebook = new_notebook(cells=[new_code_cell(cell.source) for cell in cells])
        nbformat.write(notebook, path)
        outcomes = _nbval(path)
    if len(outcomes) != len(cells):
        raise UnreadableNotebook(f"nbval ran {len(outcomes)} of the {len(cells)} cells of {lesson}")
    failed = 0
    for cell, failure in zip(cells, outcomes, strict=True):
        if cell.role == "check" or failure:
            print(f"  {_line(cell, failure)}")
            failed += bool(failure)
    return failed


def _line(cell: CodeCell, failure: str) -> str:
    check = checks.CHECKS.get(cell.exercise or "")
    name = f"{check.id} {check.name}" if check else cell.source.strip().partition("\n")[0][:60]
    if not failure:
        return f"✓ {name}: passed"
    return f"✗ {failure}" if failure.startswith(name) else f"✗ {name}: {failure}"


def _nbval(notebook: Path) -> list[str]:
    """For each cell an empty text, or the one sentence with which it failed."""
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["-p", "checks.learner.dead_kernel"]
    command += ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    command += [f"--rootdir={notebook.parent}", f"--junitxml={report}", str(notebook)]
    run = subprocess.run(
        command,
        cwd=notebook.parent,
        env={**os.environ, "PYTHONUTF8": "1"},
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
    lines = [line.strip() for line in _plain(problem.text or "").splitlines() if line.strip()]
    if DIED in (problem.text or ""):
        return DIED
    if problem.tag == "skipped" or lines[-1:] == [DEAD_BEFORE]:
        return "it did not run, because an earlier cell ran out of time or ended the kernel"
    if "Traceback:" in lines:
        return _last_words(lines[lines.index("Traceback:") + 1 :])
    said = [line.partition(": ")[2] for line in lines if re.match(r"Cell \d+: ", line)]
    return said[0] if said else "the cell failed"


def _last_words(trace: list[str]) -> str:
    """What a check shows in place of a traceback, or a traceback's last line."""
    if trace[0].startswith("✗"):
        return ": ".join([trace[0].lstrip("✗ "), *trace[1:2]])
    return trace[0] if trace[0].endswith("not written yet.") else trace[-1]


def _plain(text: str) -> str:
    """The text without the colours of a terminal, which JUnit writes as `#x1B[31m`."""
    return re.sub(r"(\x1b|#x1B)\[[0-9;]*m", "", text)
