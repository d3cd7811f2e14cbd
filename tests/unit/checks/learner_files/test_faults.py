"""What a learner's files survive, whichever command writes them.

| fault | what happens | tested |
|---|---|---|
| kill during a save | every file is whole, old or new | here, `learner/updating/test_faults.py` |
| full disk, read-only folder, no permission | a sentence, and every file is whole | the same |
| two JupyterLabs at once | both boards' entries are kept | here |
| the same notebook saved by another | it is as it was saved | `learner/updating/test_faults.py` |
| clock set back | contents and numbers decide, not times | `learner/updating/test_undo.py`, \
`learner/watch/test_saved.py`, `course/test_commands.py` |
| spaces and Cyrillic letters | as in any other folder | here, `learner/test_validate.py`, \
`learner/watch/test_saved.py`, `learner/class_report/test_submissions.py` |
| linked `work/`, linked notebook | links stay links, the board is there | here, \
`learner/updating/test_faults.py` |
"""

import errno
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from checks import CHECKS
from checks.learner import remembered
from checks.learner.updating import __main__ as updating
from checks.learner_files import paths, progress
from course import ROOT
from helpers import atomic_file
from solutions import d1_moe as reference
from tests.unit.checks.learner.updating.small_course import (
    MY_ONE,
    SmallCourse,
    first,
    second,
)


class Killed(BaseException):
    """What nothing catches."""


def place(root: Path, monkeypatch) -> SmallCourse:
    """The small course in a folder with a hard name; `work/` is a link to a harder one."""
    root.mkdir()
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "WORK", root / "work")
    made = SmallCourse(root)
    far = root / "мои тетради é 'x'"
    made.work.rename(far)
    made.work.symlink_to(far, target_is_directory=True)
    monkeypatch.chdir(far)
    cells = first()
    cells[3].source = MY_ONE
    made.save(cells)
    made.release(second())
    made.release(first(), "d2_deepseek_moe")
    progress.keep("D1.1", state="passed")
    remembered.remember("old", "a problem")
    return made


def copy_lessons() -> None:
    """What `course.py lab` does before it opens: D2 is not in `work/` yet."""
    spec = importlib.util.spec_from_file_location("course_there", ROOT / "course.py")
    assert spec is not None and spec.loader is not None
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    there.ROOT = paths.ROOT
    there.main = lambda arguments: there.copy_notebooks()
    there.run([])


WRITERS = {
    "a check": lambda: progress.keep("D1.4a", state="passed"),
    "a verdict": lambda: remembered.remember("new", "another"),
    "lab": copy_lessons,
    "update": lambda: updating.main(["update"]),
    "reset": lambda: updating.main(["reset", "D1.1"]),
    "restart": lambda: updating.main(["restart", "d1"]),
}


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


ERRORS = {
    "full disk": refused(errno.ENOSPC),
    "read-only": refused(errno.EROFS),
    "no permission": refused(errno.EACCES),
    "killed": Killed(),
}


def files(work: Path) -> dict[str, bytes]:
    """All but the backups, by their names."""
    found = [path for path in work.rglob("*") if path.is_file() and "backups" not in path.parts]
    return {path.relative_to(work).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("writer", WRITERS)
def test_whatever_stops_a_write_every_file_is_whole(
    tmp_path, monkeypatch, capsys, writer, fault, number
):
    done = place(tmp_path / "курс 1", monkeypatch)
    WRITERS[writer]()
    after = files(done.work.resolve())
    here = place(tmp_path / "курс 2", monkeypatch)
    before, right, count = files(here.work.resolve()), Path.write_bytes, itertools.count()

    def write(path, data):
        if next(count) != number:
            return right(path, data)
        right(path, data[: len(data) // 2])
        raise ERRORS[fault]

    monkeypatch.setattr(atomic_file.Path, "write_bytes", write)
    capsys.readouterr()
    try:
        WRITERS[writer]()
    except Killed:
        assert fault == "killed"
    monkeypatch.setattr(atomic_file.Path, "write_bytes", right)
    said = capsys.readouterr()
    left = files(here.work.resolve())
    assert before.keys() <= left.keys() <= before.keys() | after.keys()
    for name, data in left.items():
        assert data in (before.get(name), after.get(name)), name
    assert here.work.is_symlink()
    kept = [here.mine, *(folder / here.mine.name for folder in here.backups())]
    assert any(b"return 1  # as asked" in path.read_bytes() for path in kept if path.is_file())
    told = said.out + said.err
    assert "Traceback" not in told
    if isinstance(ERRORS[fault], OSError) and next(count) > number and writer != "a verdict":
        assert os.strerror(ERRORS[fault].errno) in told


LOOP = """
import sys, itertools
from pathlib import Path
from helpers.atomic_file import write_atomically
for i in itertools.count():
    write_atomically(Path(sys.argv[1]), bytes([65 + i % 26]) * 3_000_000)
    print(i, flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.01, 0.02])
def test_a_process_that_is_killed_leaves_its_file_whole(tmp_path, seconds):
    path = tmp_path / "my answers.ipynb"
    command = [sys.executable, "-c", LOOP, str(path)]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.communicate()
    assert len(set(path.read_bytes())) == 1 and path.stat().st_size == 3_000_000


def test_notebooks_that_write_the_board_at_once_lose_nothing(tmp_path, monkeypatch, capsys):
    place(tmp_path / "курс", monkeypatch)

    def keep(mine: str) -> None:
        for i in range(30):
            progress.keep(f"{mine}.{i}", state="passed")

    all_three = [threading.Thread(target=keep, args=[mine]) for mine in "ABC"]
    for thread in all_three:
        thread.start()
    for thread in all_three:
        thread.join()
    assert len(progress.read()) == 1 + 3 * 30
    assert capsys.readouterr().out == ""


def test_one_that_holds_the_board_too_long_costs_a_sentence(tmp_path, monkeypatch, capsys):
    place(tmp_path / "курс", monkeypatch)
    monkeypatch.setattr(progress, "PATIENCE", 0.1)
    before = progress.read()
    with progress.alone():
        progress.keep("D1.4a", state="passed")
    assert "progress.json could not be written" in capsys.readouterr().out
    assert progress.read() == before


def test_a_check_finds_the_board_through_a_link_in_a_folder_with_spaces(tmp_path, monkeypatch):
    here = place(tmp_path / "курс", monkeypatch)
    CHECKS["D1.4a"](lambda experts, number: reference.expert_load(experts, number))
    board = json.loads((here.work / "progress.json").read_text(encoding="utf-8"))
    assert board["D1.4a"]["state"] == "passed"
