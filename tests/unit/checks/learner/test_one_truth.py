"""Board, validation and carrying agree on which code is the answer and what is thought of it."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import checks
from checks import CHECKS, CheckFailed
from checks.learner import carry, validate
from checks.learner_files import paths, this_notebook

GUARDED = """\
def load_cv(load):
    load = load.float()
    if not load.any():
        return 0.0
    return float(load.std(correction=0) / load.mean())
"""
HELPER = "def some(x):\n    return x.any()"
NEEDS_HELPER = GUARDED.replace("load.any()", "some(load)")
WRONG = GUARDED.replace("correction=0", "correction=1")
STUB = "def load_cv(load):\n    raise NotImplementedError\n"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder that is the current one, as a kernel of a notebook there has it."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    paths.WORK.mkdir()
    monkeypatch.chdir(paths.WORK)
    return paths.WORK


def save(work: Path, *sources: str, tagged: int = 1) -> None:
    """A D1 notebook with these cells, of which the first ones are tagged as D1.4b's."""
    metadata = {"tags": ["exercise"], "exercise": "D1.4b"}
    cells = [
        new_code_cell(source, metadata=metadata if i < tagged else {})
        for i, source in enumerate(sources)
    ]
    nbformat.write(new_notebook(cells=cells), work / "d1_moe.ipynb")


def board() -> str:
    line = next(line for line in checks.progress().text.splitlines() if "load_cv:" in line)
    return line.strip()


def carried() -> str:
    return carry.carry("d1_moe").origin["load_cv"]


def validated(capfd: pytest.CaptureFixture) -> str:
    capfd.readouterr()
    validate.validate(["d1_moe"])
    lines = capfd.readouterr().out.splitlines()
    return next(line.strip() for line in lines if "D1.4b load_cv" in line)


def check_live(source: str) -> None:
    """What the learner's kernel does: it runs the cell and the check below it."""
    names: dict = {}
    exec(compile(source, "<cell>", "exec"), names)
    import linecache

    linecache.cache["<cell>"] = (len(source), None, source.splitlines(True), "<cell>")
    try:
        CHECKS["D1.4b"](names["load_cv"])
    except CheckFailed:
        pass


def test_an_edit_after_the_pass_is_seen_by_all(work, capfd):
    save(work, GUARDED)
    check_live(GUARDED)
    assert board() == "✓ load_cv: passed"
    save(work, WRONG)
    assert board() == "· load_cv: edited since (before: passed)"
    assert carried().startswith("reference (yours: ")
    assert board() == "✗ load_cv: wrong"
    assert validated(capfd).startswith("✗ D1.4b load_cv")
    save(work, GUARDED)
    assert board() == "· load_cv: edited since (before: wrong)"
    assert validated(capfd) == "✓ D1.4b load_cv: passed"
    assert board() == "✓ load_cv: passed"


def test_a_comment_is_no_edit(work):
    save(work, GUARDED)
    check_live(GUARDED)
    save(work, GUARDED.replace("    if", "    # no load at all\n    if"))
    assert board() == "✓ load_cv: passed"


def test_a_pass_that_is_not_saved_is_told_so(work):
    save(work, STUB)
    check_live(GUARDED)
    assert board() == "✓ load_cv: passed (not saved yet)"
    save(work, GUARDED)
    assert board() == "✓ load_cv: passed"


def test_what_validation_and_carrying_find_is_on_the_board(work, capfd):
    save(work, GUARDED)
    assert board() == "· load_cv: not started"
    assert validated(capfd) == "✓ D1.4b load_cv: passed"
    assert board() == "✓ load_cv: passed"
    save(work, STUB)
    assert carried() == "reference (yours: not written yet)"
    assert board() == "· load_cv: not written yet"


LAYOUTS = {  # the cells, how many of them are tagged, and whether the answer passes
    "a new cell": ((STUB, GUARDED), 1, True),
    "a copy by Split Cell": ((GUARDED, STUB), 2, False),
    "two answers": ((WRONG, GUARDED), 2, True),
    "no tag, and it does more": ((f"{GUARDED}\nprint(load_cv)",), 0, True),
    "the upper half of a split cell": ((HELPER, NEEDS_HELPER), 2, True),
    "a helper below": ((NEEDS_HELPER, HELPER), 1, True),
    "a cell's magic": ((f"%%time\n!true\n{GUARDED}",), 1, True),
    "a line's magic": ((f"%time\n{GUARDED}",), 1, True),
    "an await": ((f"import asyncio\nawait asyncio.sleep(0)\n{GUARDED}",), 1, True),
}


def save_layout(work: Path, layout: str) -> bool:
    """Whether the answer passes in the notebook, which has one more exercise."""
    cells, tagged, passes = LAYOUTS[layout]
    save(work, *cells, tagged=tagged)
    notebook = nbformat.read(work / "d1_moe.ipynb", as_version=4)
    metadata = {"tags": ["exercise"], "exercise": "D1.4a"}
    notebook.cells.append(new_code_cell("x = 1", metadata=metadata))
    nbformat.write(notebook, work / "d1_moe.ipynb")
    return passes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_carrying_takes_the_one_answer_however_the_cells_lie(work, layout):
    passes = save_layout(work, layout)
    assert (carried() == "yours") is passes
    assert board().startswith("✓") is passes


@pytest.mark.parametrize("layout", ["a copy by Split Cell", "no tag, and it does more", "an await"])
def test_validation_judges_the_same_answer(work, capfd, layout):
    passes = save_layout(work, layout)
    assert validated(capfd).startswith("✓") is passes
    assert board().startswith("✓") is passes


def test_a_choice_is_told(work, capfd):
    save(work, WRONG, GUARDED, tagged=2)
    choice = "code cells 1 and 2 define load_cv; the last of them counts."
    assert carry.carry("d1_moe").notes == (f"d1_moe.ipynb, D1.4b: {choice}",)
    validate.validate(["d1_moe"])
    assert f"  D1.4b: {choice}\n" in capfd.readouterr().out


def test_lines_left_out_are_told(work):
    save(work, f"!ls\n{GUARDED}")
    (note,) = carry.carry("d1_moe").notes
    assert note == "d1_moe.ipynb, D1.4b: `!ls` is left out, since only a notebook can run it."


def test_what_is_borrowed_stays_so(work, capfd):
    borrow = "import checks\nload_cv = checks.CHECKS['D1.4b'].reference()"
    save(work, borrow)
    assert carried() == "reference (yours: borrowed from the reference)"
    assert board() == "◐ load_cv: borrowed from the reference"
    assert validated(capfd) == "✓ D1.4b load_cv: passed"
    assert board() == "◐ load_cv: borrowed from the reference"


def in_a_kernel(monkeypatch, start: Path, **names: str) -> None:
    """As if this process were a notebook's kernel that began in `start`."""
    shell = SimpleNamespace(starting_dir=str(start), user_ns=names)
    monkeypatch.setattr(this_notebook, "get_ipython", lambda: shell)


def test_another_current_folder_changes_nothing(work, monkeypatch, tmp_path, capsys):
    in_a_kernel(monkeypatch, work)
    monkeypatch.chdir(tmp_path)
    save(work, GUARDED)
    assert carried() == "yours"
    check_live(GUARDED)
    assert board() == "✓ load_cv: passed" and capsys.readouterr().out == ""


def test_a_carried_cell_that_changes_the_folder_changes_it_for_itself_alone(work, tmp_path):
    save(work, GUARDED)
    notebook = nbformat.read(work / "d1_moe.ipynb", as_version=4)
    moves = f"import os\nos.chdir({str(tmp_path)!r})"
    notebook.cells.insert(0, new_code_cell(moves, metadata={"tags": ["setup"]}))
    nbformat.write(notebook, work / "d1_moe.ipynb")
    assert carried() == "yours"
    assert Path.cwd() == work and board() == "✓ load_cv: passed"


def test_a_kernel_of_vs_code_that_starts_at_the_root_is_the_learners(work, monkeypatch):
    file = str(work / "d1_moe.ipynb")
    in_a_kernel(monkeypatch, paths.ROOT, __vsc_ipynb_file__=file)
    save(work, GUARDED)
    assert carried() == "yours"


def test_elsewhere_one_line_says_why_nothing_is_recorded(work, monkeypatch, tmp_path, capsys):
    in_a_kernel(monkeypatch, tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    save(work, GUARDED)
    check_live(GUARDED)
    check_live(GUARDED)
    why = f"this notebook lies in {tmp_path}, not in {work}"
    assert capsys.readouterr().out == f"Not recorded on the board: {why}.\n"
    assert carry.carry("d1_moe").notes == (f"All parts are the reference's: {why}.",)
    assert board() == "· load_cv: not started"


def test_nobody_expects_a_solved_notebook_on_the_board(work, monkeypatch, capsys):
    in_a_kernel(monkeypatch, paths.ROOT / "solutions")
    check_live(GUARDED)
    assert capsys.readouterr().out == "" and carry.carry("d1_moe").notes == ()
