"""Faults that `update` meets: one sentence each, and the learner's file is what it was.

| fault | what happens |
|---|---|
| broken JSON, conflict markers, half a letter | it stays, and the others are merged |
| full disk, read-only folder, no permission, at the backup | nothing is changed |
| the same at a notebook | it is as it was, and named |
| killed at any write | the next update ends as if nothing had been |
| saved by JupyterLab meanwhile | it is as it was saved |
| linked `work/`, linked notebook, Cyrillic letters and spaces | links stay links |
| clock set back, two at once (`test_undo.py`) | backups are numbered, each has its own |
| saved by VS Code, Colab, an old Jupyter (`test_update.py`) | merged; tags and ids are back |
"""

import errno
import itertools
import os
from pathlib import Path

import pytest

from checks.learner.updating import __main__ as command
from checks.learner.updating import backups, update
from checks.learner.updating.fates import note
from checks.learner_files import paths
from tests.unit.checks.learner.updating.small_course import MY_TWO, first, second, text

CONFLICT = b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> newer\n"


def one_sentence(said: str) -> bool:
    return said.count("\n") == 1 and said.endswith(".\n") and "Traceback" not in said


@pytest.fixture
def newer(course):
    """The small course with a newer lesson, and an answer in the learner's notebook."""
    cells = first()
    cells[7].source = MY_TWO
    course.save(cells)
    course.release(second())
    return course


def failing(monkeypatch, module, fails, error):
    """From now on `module` cannot write the files whose path `fails` is true of."""
    right = module.write_atomically

    def write(path, data):
        if fails(path):
            raise OSError(error, os.strerror(error))
        right(path, data)

    monkeypatch.setattr(module, "write_atomically", write)


@pytest.mark.parametrize("broken", [b"", b"{", b"[1]", b"[" * 100_000, b"\x00\xff", CONFLICT])
def test_a_file_that_is_no_notebook_stays_and_other_lessons_are_merged(newer, capsys, broken):
    newer.release(first(), "d2_deepseek_moe")
    other = newer.work / "d2_deepseek_moe.ipynb"
    other.write_bytes(broken)
    assert command.main(["update"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "Traceback" not in said.err
    assert "d2_deepseek_moe.ipynb in work/ cannot be read as a notebook" in said.err
    assert other.read_bytes() == broken
    assert "d1_moe.ipynb: 3 changed, 1 new, 1 gone" in said.out


def test_a_notebook_whose_cell_holds_no_text_stays(newer, capsys):
    broken = newer.mine.read_bytes().replace(
        b'"source": [\n    "# The lesson"\n   ]', b'"source": 7'
    )
    newer.mine.write_bytes(broken)
    assert command.main(["update"]) == 1
    assert "d1_moe.ipynb" in capsys.readouterr().err
    assert newer.mine.read_bytes() == broken


def test_half_a_letter_stays(newer, capsys):
    broken = newer.mine.read_bytes().replace(b"# The lesson", b"# The \\ud800 lesson")
    newer.mine.write_bytes(broken)
    assert command.main(["update"]) == 1
    assert one_sentence(capsys.readouterr().err)
    assert newer.mine.read_bytes() == broken


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_without_a_backup_nothing_is_changed(newer, capsys, monkeypatch, error):
    before = newer.mine.read_bytes(), newer.base.read_bytes()
    failing(monkeypatch, backups, lambda path: path.parent.name == "base", error)
    assert command.main(["update"]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said) and os.strerror(error) in said and "nothing was changed" in said
    assert (newer.mine.read_bytes(), newer.base.read_bytes()) == before
    assert newer.backups() == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_notebook_that_cannot_be_written_is_as_it_was(newer, capsys, monkeypatch, error):
    before = newer.mine.read_bytes(), newer.base.read_bytes()
    failing(monkeypatch, update, lambda path: path == newer.mine.resolve(), error)
    assert command.main(["update"]) == 1
    said = capsys.readouterr()
    assert one_sentence(said.err) and "is as it was" in said.err and "changed" not in said.out
    assert (newer.mine.read_bytes(), newer.base.read_bytes()) == before


def test_a_base_that_cannot_be_written_costs_only_itself(newer, capsys, monkeypatch):
    failing(monkeypatch, update, lambda path: path == newer.base, errno.ENOSPC)
    assert command.main(["update"]) == 1
    assert one_sentence(capsys.readouterr().err)
    assert MY_TWO in newer.sources() and second()[2].source in newer.sources()


class Killed(BaseException):
    """What nothing catches."""


@pytest.mark.parametrize("survivors", range(6))
def test_killed_at_any_write_the_next_update_ends_as_if_nothing_had_been(
    newer, monkeypatch, survivors
):
    before, count = newer.mine.read_bytes(), itertools.count()
    for module in (backups, update):
        right = module.write_atomically

        def write(path, data, right=right):
            if next(count) == survivors:
                raise Killed
            right(path, data)

        monkeypatch.setattr(module, "write_atomically", write)
    try:
        command.main(["update"])
    except Killed:
        assert survivors < 5
    copies = [folder / "d1_moe.ipynb" for folder in newer.backups()]
    assert before in [path.read_bytes() for path in (newer.mine, *copies) if path.is_file()]
    monkeypatch.undo()
    monkeypatch.setattr(paths, "ROOT", newer.root)
    monkeypatch.setattr(paths, "WORK", newer.work)
    assert command.main(["update"]) == 0
    expected = [cell.source for cell in second()]
    expected[8:9] = [note(second()[8]).source, MY_TWO]
    assert newer.sources() == expected


def test_a_notebook_saved_during_the_update_is_as_it_was_saved(newer, capsys, monkeypatch):
    right, saved = update.planned, []

    def planned(stem):
        plan = right(stem)
        newer.save([*first(), text("Saved meanwhile.")])
        saved.append(newer.mine.read_bytes())
        return plan

    monkeypatch.setattr(update, "planned", planned)
    assert command.main(["update"]) == 1
    assert "was saved during the update" in capsys.readouterr().err
    assert newer.mine.read_bytes() == saved[0]


def test_a_merge_that_would_lose_a_cell_is_not_written(newer, capsys, monkeypatch):
    before = newer.mine.read_bytes()
    monkeypatch.setattr(update, "missing", lambda *sides: ["def two(x):"])
    assert command.main(["update"]) == 1
    assert one_sentence(capsys.readouterr().err)
    assert newer.mine.read_bytes() == before and newer.backups() == []


def test_a_merge_with_another_answer_is_not_written(newer, capsys, monkeypatch):
    before, right = newer.mine.read_bytes(), update.merge

    def merged_wrongly(*sides):
        merged = right(*sides)
        for cell in merged.cells:
            cell.source = cell.source.replace("one(x) + 1", "one(x) + 2")
        return merged

    monkeypatch.setattr(update, "missing", lambda *sides: [])
    monkeypatch.setattr(update, "merge", merged_wrongly)
    assert command.main(["update"]) == 1
    assert "another answer to D1.2" in capsys.readouterr().err
    assert newer.mine.read_bytes() == before


def test_a_linked_folder_and_a_linked_notebook_stay_links(newer):
    elsewhere = newer.root / "мои тетради 1"
    newer.work.rename(elsewhere)
    newer.work.symlink_to(elsewhere, target_is_directory=True)
    far = newer.root / "far.ipynb"
    newer.mine.rename(far)
    newer.mine.symlink_to(far)
    assert command.main(["update"]) == 0
    assert newer.work.is_symlink() and newer.mine.is_symlink()
    assert MY_TWO in newer.sources() and second()[2].source in far.read_text(encoding="utf-8")
    assert command.main(["update", "--undo"]) == 0
    assert newer.mine.is_symlink() and second()[2].source not in newer.sources()


def test_without_any_notebook_it_says_how_to_get_one(newer, capsys):
    newer.mine.unlink()
    assert command.main(["update"]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said) and "course.py lab" in said


def test_a_folder_in_the_place_of_a_notebook_is_no_notebook(newer, capsys):
    newer.mine.unlink()
    newer.mine.mkdir()
    assert command.main(["update"]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_no_file_but_those_it_names_is_touched(newer):
    before = {path: path.read_bytes() for path in Path(newer.root).rglob("*") if path.is_file()}
    command.main(["update"])
    command.main(["update", "--undo"])
    after = {path: path.read_bytes() for path in Path(newer.root).rglob("*") if path.is_file()}
    kept = newer.work / ".course" / "backups"
    assert {path: after[path] for path in after if not path.is_relative_to(kept)} == before
