"""The learner's progress: one small file in `work/`, written only from notebooks there."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from checks.learner_files import notebook, paths, this_notebook
from checks.learner_files.answers import answers
from helpers.atomic_file import write_atomically

PATIENCE = 5.0  # seconds that one notebook waits while another writes


def read() -> dict[str, dict]:
    """What each exercise's last check said: `{id: {"state": …, "hints": hints seen}}`."""
    try:
        return _load()
    except (OSError, ValueError, RecursionError):
        print("progress.json could not be read; the next check sets it aside and begins a new one.")
        return {}


def _load() -> dict[str, dict]:
    try:
        return _entries(json.loads(_path().read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _path() -> Path:
    return paths.WORK / "progress.json"


def _load_or_set_aside() -> dict[str, dict]:
    """The board; one that cannot be read is kept under another name, and a new one begins."""
    try:
        return _load()
    except (ValueError, RecursionError):
        aside = _path().with_name("progress.unreadable.json")
        os.replace(_path(), aside)
        print(f"progress.json could not be read; it is kept as {aside.name} and a new one begins.")
        return {}


def _entries(kept: Any) -> dict[str, dict]:
    """`kept`, if it is what `keep` writes; raise `ValueError` otherwise."""
    entries = list(kept.values()) if isinstance(kept, dict) else [kept]
    for entry in entries:
        fits = isinstance(entry, dict) and isinstance(entry.get("state", ""), str)
        if not (fits and isinstance(entry.get("hints", 0), int)):
            raise ValueError
    return kept


def record(exercise: str, name: str, state: str, code: str = "") -> None:
    """Write the exercise's state on the board, if this is a notebook of `work/`.

    `code` is the digest of the definition of `name` that was judged, "" where it has no source.
    Elsewhere one line says, once, why nothing is recorded.
    """
    if this_notebook.is_learners():
        saved = saved_codes({exercise: name}).get(exercise)
        keep(exercise, state=state, code=code, saved=saved)
    else:
        _say_once(this_notebook.why_not())


def record_saved(exercise: str, state: str, code: str) -> None:
    """The same from anywhere, of code that lies in `work/`; what was borrowed stays so."""
    kept = read().get(exercise, {})
    nothing_new = state == "unwritten" or (state == "passed" and not code)
    borrowed = nothing_new and kept.get("state") == "borrowed"
    news = {"state": state, "code": code, "saved": code}
    if not borrowed and {**kept, **news} != kept:
        keep(exercise, **news)


@cache
def _say_once(why: str) -> None:
    if why:
        print(f"Not recorded on the board: {why}.")


def borrow(exercise: str) -> None:
    """Mark the exercise as borrowed, unless the learner's own already passed."""
    if this_notebook.is_learners() and read().get(exercise, {}).get("state") != "passed":
        keep(exercise, state="borrowed", code="")


def count_hint(exercise: str, level: int) -> None:
    """The board says how many of the three hints the learner has seen."""
    if this_notebook.is_learners():
        keep(exercise, hints=level)


def keep(exercise: str, **news: object) -> None:
    """Afterwards the board holds `news` of the exercise, or of the prediction, beside the rest."""
    try:
        with alone():
            kept = _load_or_set_aside()
            write({**kept, exercise: {**kept.get(exercise, {}), **news}})
    except OSError as error:  # no verdict is lost because the disk is full
        why = error.strerror or error
        print(f"{_path().name} could not be written ({why}), so the board stays as it was.")


def alone() -> FileLock:
    """While it is held no other notebook writes the board, so what each keeps is kept."""
    folder = paths.WORK / ".course"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "board.lock", timeout=PATIENCE)


def write(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Afterwards the board is these entries."""
    write_atomically(_path(), json.dumps(entries, indent=1, sort_keys=True))


def saved_codes(names: Mapping[str, str]) -> dict[str, str]:
    """The digest of each exercise's definition as saved, by id; "" where there is none.

    `names` are those of the exercises. Of a notebook that cannot be read there are none.
    """
    found: dict[str, str] = {}
    for path in sorted(paths.WORK.glob("d[0-9]_*.ipynb")):
        own = {e: name for e, name in names.items() if e.startswith(path.stem[:2].upper())}
        with suppress(notebook.UnreadableNotebook):
            given = answers(notebook.read(path), own) if own else {}
            found |= {e: given[e].code if e in given else "" for e in own}
    return found
