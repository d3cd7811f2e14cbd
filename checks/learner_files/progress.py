"""The learner's progress: one small file in `work/`, written only from notebooks there."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checks.learner_files import paths
from helpers.atomic_file import write_atomically

SUBTASKS = {
    "D1.1": "Top-K router",
    "D1.2": "Expert array",
    "D1.3": "Token dispatch and combination",
    "D1.4": "Load balancing metrics",
    "D1.5": "Complete MoE layer",
    "D2.1": "Shared experts",
    "D2.2": "Fine-grained segment routing",
    "D2.3": "Bias-based load balancing",
    "D3.1": "Latent projections",
    "D3.2": "Latent KV cache",
    "D3.3": "Full MLA integration",
    "D4.1": "Single DeepSeek block",
    "D4.2": "Complete decoder",
    "D4.3": "Training and validation",
}


def in_work() -> bool:
    """Whether this process runs a notebook of `work/`: a kernel starts in its notebook's folder."""
    try:
        return Path.cwd().resolve() == paths.WORK.resolve()
    except OSError:  # the folder this process ran in is gone
        return False


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
    """`kept`, if it is what `_write` writes; raise `ValueError` otherwise."""
    entries = list(kept.values()) if isinstance(kept, dict) else [kept]
    for entry in entries:
        fits = isinstance(entry, dict) and isinstance(entry.get("state", ""), str)
        if not (fits and isinstance(entry.get("hints", 0), int)):
            raise ValueError
    return kept


def record(exercise: str, state: str) -> None:
    """Write the exercise's state on the board, if this is a notebook of `work/`."""
    _write(exercise, state=state)


def borrow(exercise: str) -> None:
    """Mark the exercise as borrowed, unless the learner's own already passed."""
    if in_work() and read().get(exercise, {}).get("state") != "passed":
        _write(exercise, state="borrowed")


def count_hint(exercise: str, level: int) -> None:
    """The board says how many of the three hints the learner has seen."""
    _write(exercise, hints=level)


def _write(exercise: str, **news: object) -> None:
    if not in_work():
        return
    path = _path()
    try:
        kept = _load_or_set_aside()
        kept[exercise] = {**kept.get(exercise, {}), **news}
        write_atomically(path, json.dumps(kept, indent=1, sort_keys=True))
    except OSError as error:  # no verdict is lost because the disk is full
        print(f"{path.name} could not be written ({error.strerror}), so the board stays as it was.")


SYMBOLS = {"passed": "✓", "borrowed": "◐", "wrong": "✗", "raised": "✗", "stopped": "✗"}
WORDS = {"unwritten": "not written yet", "borrowed": "borrowed from the reference"}


def text(exercises: Mapping[str, str]) -> str:
    """The fourteen subtasks, and what lies beyond them, with the state of each exercise.

    `exercises` are the names of those there are, by id.
    """
    kept, lines = read(), []
    for subtask, title in SUBTASKS.items():
        own = [exercise for exercise in exercises if exercise.startswith(subtask)]
        lines += _section(f"{subtask} {title}", own, exercises, kept)
    done = sum(line.startswith(("✓", "◐")) for line in lines)
    beyond = [exercise for exercise in exercises if not exercise.startswith(tuple(SUBTASKS))]
    lines += _section("Investigations, and beyond the plan", beyond, exercises, kept)
    return "\n".join([f"{done} of {len(SUBTASKS)} subtasks done", *lines])


def _section(title: str, own: list[str], names: Mapping[str, str], kept: dict) -> list[str]:
    states = [kept.get(exercise, {}).get("state", "not started") for exercise in own]
    lines = [f"{_overall(states)} {title}"]
    for exercise, state in zip(own, states, strict=True):
        hints = kept.get(exercise, {}).get("hints")
        seen = f" (hints seen: {hints} of 3)" if hints else ""
        word = WORDS.get(state, state)
        lines.append(f"    {SYMBOLS.get(state, '·')} {names[exercise]}: {word}{seen}")
    return lines


def _overall(states: list[str]) -> str:
    if not states:
        return "·"
    ranks = {SYMBOLS.get(state, "·") for state in states}
    return next(symbol for symbol in "·✗◐✓" if symbol in ranks)
