"""The validation of a learner's notebooks with nbval: which exercises pass in a fresh kernel."""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from checks import CHECKS, places
from checks.notebook import CodeCell, UnreadableNotebook, read

CELL_SECONDS = 300


def validate(lessons: list[str], *, everything: bool = False) -> int:
    """0 if every exercise of the lessons' notebooks in `work/` passes; prints a line for each.

    Only set-up, definitions, exercises and checks run, without stored outputs; with `everything`
    all cells do.
    """
    failed = 0
    for lesson in lessons:
        print(lesson)
        try:
            cells = read(places.WORK / f"{lesson}.ipynb")
        except UnreadableNotebook as error:
            print(f"  {error}.")
            failed += 1
            continue
        failed += _validate(lesson, [cell for cell in cells if everything or _graded(cell)])
    return 1 if failed else 0


def _graded(cell: CodeCell) -> bool:
    return cell.role != "plain" or cell.only_defines


def _validate(lesson: str, cells: list[CodeCell]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{lesson}.ipynb"
        notebook = new_notebook(cells=[new_code_cell(cell.source) for cell in cells])
        nbformat.write(notebook, path)
        outcomes = _nbval(path)
    failed = 0
    for cell, failure in zip(cells, outcomes, strict=True):
        if cell.role == "check" or failure:
            print(f"  {_line(cell, failure)}")
            failed += bool(failure)
    return failed


def _line(cell: CodeCell, failure: str) -> str:
    check = CHECKS.get(cell.exercise or "")
    name = f"{check.id} {check.name}" if check else cell.source.strip().partition("\n")[0][:60]
    return f"✗ {failure}" if failure else f"✓ {name}: passed"


def _nbval(notebook: Path) -> list[str]:
    """For each cell an empty text, or the one sentence with which it failed."""
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    command += [f"--rootdir={notebook.parent}", f"--junitxml={report}", str(notebook)]
    run = subprocess.run(command, cwd=notebook.parent, capture_output=True, text=True)
    if not report.exists():
        raise SystemExit(f"nbval could not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return [_failure(case) for case in ElementTree.parse(report).iter("testcase")]


def _failure(case: ElementTree.Element) -> str:
    problem = next((child for child in case if child.tag in ("failure", "error")), None)
    if problem is None:
        return ""
    lines = [line.strip() for line in _plain(problem.text or "").splitlines()]
    shown = [line for line in lines if line.startswith("✗") or line.endswith("not written yet.")]
    if not shown:
        return (problem.get("message") or "the cell failed").partition("\n")[0]
    first = shown[-1]
    after = lines[lines.index(first) + 1 :]
    return " ".join([first.lstrip("✗ "), *after[:1]]).strip() if first[0] == "✗" else first


def _plain(text: str) -> str:
    """The text without the colours of a terminal, which JUnit writes as `#x1B[31m`."""
    return re.sub(r"(\x1b|#x1B)\[[0-9;]*m", "", text)
