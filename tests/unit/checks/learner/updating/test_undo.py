"""`course.py update --undo`: each command is taken back, and what came after it is kept."""

import json
from datetime import datetime, timedelta

import pytest

from checks.learner.updating import __main__ as command
from checks.learner.updating import backups
from tests.unit.checks.learner.updating.small_course import MY_ONE, first, second, text


@pytest.fixture
def updated(course):
    """Updated once, the answer to D1.1 written before; `before` are the bytes of then."""
    cells = first()
    cells[3].source = MY_ONE
    course.save(cells)
    course.before = course.mine.read_bytes(), course.base.read_bytes()
    course.release(second())
    assert command.main(["update"]) == 0
    return course


def undo() -> int:
    return command.main(["update", "--undo"])


def test_it_brings_the_notebook_and_its_base_back_byte_by_byte(updated, capsys):
    capsys.readouterr()
    assert undo() == 0
    assert (updated.mine.read_bytes(), updated.base.read_bytes()) == updated.before
    said = "The last update is undone: d1_moe.ipynb as before it.\n"
    assert capsys.readouterr().out == said


def test_an_update_after_it_does_the_same_again(updated):
    after = updated.sources()
    undo()
    assert command.main(["update"]) == 0
    assert updated.sources() == after


def test_what_was_written_since_is_kept_and_named(updated, capsys):
    updated.save([*updated.cells(), text("Written since.")])
    since = updated.mine.read_bytes()
    capsys.readouterr()
    undo()
    assert updated.mine.read_bytes() == updated.before[0]
    kept = updated.backups()[-1]
    assert (kept / "d1_moe.ipynb").read_bytes() == since
    said = f"What you changed in d1_moe.ipynb since is in work/.course/backups/{kept.name}.\n"
    assert said in capsys.readouterr().out


def test_a_base_that_was_not_there_is_not_there_again(course):
    course.base.unlink()
    course.release(second())
    command.main(["update"])
    assert course.base.is_file()
    undo()
    assert not course.base.exists()


def test_each_further_one_goes_further_back_and_then_there_is_nothing(updated, capsys):
    cells = second()
    cells[2].source += " Again."
    updated.release(cells)
    between = updated.mine.read_bytes()
    command.main(["update"])
    undo()
    assert updated.mine.read_bytes() == between
    undo()
    assert updated.mine.read_bytes() == updated.before[0]
    capsys.readouterr()
    assert undo() == 1
    assert capsys.readouterr().err.startswith("There is nothing to undo")


def test_a_clock_set_back_changes_no_order(updated, monkeypatch):
    class Yesterday(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1) - timedelta(days=len(updated.backups()))

    monkeypatch.setattr(backups, "datetime", Yesterday)
    between = updated.mine.read_bytes()
    assert command.main(["reset", "D1.1"]) == 0
    undo()
    assert updated.mine.read_bytes() == between
    assert [path.name[:4] for path in updated.backups()] == ["0001", "0002", "0003"]


def test_a_backup_that_broke_off_is_none(updated):
    """Killed while it was written: `what.json` is the last file, and nothing was changed yet."""
    for number, what in (("0002", None), ("0003", "{"), ("0004", '{"other": 1}')):
        folder = updated.work / ".course" / "backups" / f"{number}-2026-01-01-00-00-00"
        folder.mkdir()
        (folder / "d1_moe.ipynb").write_bytes(b"half")
        if what:
            (folder / "what.json").write_text(what, encoding="utf-8")
    undo()
    assert updated.mine.read_bytes() == updated.before[0]


def test_one_that_breaks_off_can_be_done_again(updated, monkeypatch):
    right = backups.write_atomically

    def broken(path, data):
        if path == updated.mine.resolve():
            raise OSError(28, "No space left on device")
        right(path, data)

    monkeypatch.setattr(backups, "write_atomically", broken)
    assert undo() == 1
    monkeypatch.setattr(backups, "write_atomically", right)
    assert undo() == 0
    assert updated.mine.read_bytes() == updated.before[0]


def test_two_at_once_have_a_backup_each(updated, monkeypatch):
    taken = updated.backups()[0]
    number, numbers = int(taken.name[:4]), iter([1, 2])

    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.strptime(taken.name[5:], "%Y-%m-%d-%H-%M-%S")

    monkeypatch.setattr(backups, "datetime", Then)
    monkeypatch.setattr(backups, "_next_number", lambda: next(numbers))
    made = backups.keep(backups.Backup("update", ["d1_moe"]))
    assert number == 1 and made.name[:4] == "0002" and made != taken
    assert json.loads((taken / "what.json").read_text(encoding="utf-8"))["written"]
