"""Dated backups in `work/.course/backups/`, and the way back to one."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from checks.learner.updating import lessons
from checks.learner.updating.lessons import Refused
from checks.learner_files import paths, progress
from helpers.atomic_file import write_atomically

WHAT = "what.json"  # written last: a backup without it broke off, and was followed by nothing
NAME = re.compile(r"(\d+)-")


@dataclass(frozen=True)
class Backup:
    """What a command found, before it changed it.

    `written` is the digest of what it wrote in its place, by lesson, `board` the exercises' entries
    that it took off the board, and `undoes` the name of the backup that it went back to.
    """

    command: str
    stems: Sequence[str]
    written: Mapping[str, str] = field(default_factory=dict)
    board: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    undoes: str = ""


def keep(backup: Backup) -> Path:
    """The new folder that holds the learner's notebooks and their bases as they are now.

    Raises `Refused` where it cannot be written; then nothing is left of it.
    """
    try:
        folder = _made()
    except OSError as error:
        raise Refused(_no_backup(error)) from None
    try:
        for stem in backup.stems:
            for path, copy in _copies(folder, stem):
                if path.is_file():
                    write_atomically(copy, path.read_bytes())
        _write_what(folder, backup)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Refused(_no_backup(error)) from None
    return folder


def _made() -> Path:
    """A folder of this process alone: of two at once, the second takes the next number."""
    _folder().mkdir(parents=True, exist_ok=True)
    while True:
        folder = _folder() / f"{_next_number():04d}-{datetime.now():%Y-%m-%d-%H-%M-%S}"
        with suppress(FileExistsError):
            folder.mkdir()
            (folder / "base").mkdir()
            return folder


def _no_backup(error: OSError) -> str:
    return f"No backup could be written ({error.strerror or error}), so nothing was changed."


def undo() -> list[str]:
    """Puts back what the last command found that is not undone yet; the lines that say so.

    What is there now is kept in a backup of its own.
    """
    name, backup = _last()
    edited = [stem for stem in backup.stems if _edited(name, backup, stem)]
    now = keep(Backup("undo", backup.stems))
    _put_back(_folder() / name, backup)
    _write_what(now, Backup("undo", backup.stems, undoes=name))
    files = ", ".join(f"{stem}.ipynb" for stem in backup.stems)
    lines = [f"The last {backup.command} is undone: {files} as before it."]
    lines += [f"What you changed in {stem}.ipynb since is in {shown(now)}." for stem in edited]
    return lines


def _put_back(folder: Path, backup: Backup) -> None:
    """A notebook that was not there before stays; a base that was not there goes."""
    for stem in backup.stems:
        for path, copy in _copies(folder, stem):
            if copy.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, copy.read_bytes())
            elif path == lessons.base(stem):
                path.unlink(missing_ok=True)
    for exercise, entry in backup.board.items():
        progress.keep(exercise, **entry)


def _write_what(folder: Path, backup: Backup) -> None:
    write_atomically(folder / WHAT, json.dumps(vars(backup), indent=1))


def _edited(name: str, backup: Backup, stem: str) -> bool:
    """Whether the notebook is neither what the command wrote nor what it found."""
    now = _digest(lessons.of_the_learner(stem))
    return now not in (backup.written.get(stem), _digest(_folder() / name / f"{stem}.ipynb"))


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def shown(folder: Path) -> str:
    """The folder as it is called from the course's own folder."""
    return f"work/{folder.relative_to(paths.WORK).as_posix()}"


def _folder() -> Path:
    return paths.WORK / ".course" / "backups"


def _copies(folder: Path, stem: str) -> list[tuple[Path, Path]]:
    """A lesson's files in `work/`, and where the backup in `folder` has them."""
    name = f"{stem}.ipynb"
    return [
        (lessons.of_the_learner(stem), folder / name),
        (lessons.base(stem), folder / "base" / name),
    ]


def _numbered() -> list[tuple[int, Path]]:
    """All backups by number, whatever the clock said when they were made."""
    found = [(NAME.match(path.name), path) for path in _folder().glob("*-*")]
    return sorted((int(number[1]), path) for number, path in found if number)


def _next_number() -> int:
    return max((number for number, _ in _numbered()), default=0) + 1


def _last() -> tuple[str, Backup]:
    """The last one that nothing has gone back to, and its folder's name."""
    whole = [(path.name, found) for _, path in _numbered() if (found := _read(path))]
    undone = {found.undoes for _, found in whole}
    left = [(name, f) for name, f in whole if f.command != "undo" and name not in undone]
    if not left:
        raise Refused("There is nothing to undo: work/.course/backups has no backup left.")
    return left[-1]


def _read(folder: Path) -> Backup | None:
    try:
        return Backup(**json.loads((folder / WHAT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
