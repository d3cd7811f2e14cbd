"""Verdicts of a long audit, kept as they come, so that it goes on where it was broken off."""

import hashlib
import json
from functools import cache
from pathlib import Path

from checks.learner_files import paths
from helpers.atomic_file import write_atomically

FOLDER = paths.ROOT / ".audit"


def load(exercise: str, seeds: int) -> dict | None:
    """The verdict over so many seeds, or None where there is none of today's code."""
    try:
        kept = json.loads(_path(exercise, seeds).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return kept["verdict"] if kept["course"] == _course() else None


def save(exercise: str, seeds: int, verdict: dict) -> None:
    """Keep a verdict of today's code."""
    FOLDER.mkdir(exist_ok=True)
    write_atomically(
        _path(exercise, seeds), json.dumps({"course": _course(), "verdict": verdict}, indent=1)
    )


def _path(exercise: str, seeds: int) -> Path:
    return FOLDER / f"{exercise}-{seeds}.json"


@cache
def _course() -> str:
    """A digest of all code of the course that an audit runs."""
    folders = (paths.ROOT / name for name in ("checks", "solutions", "helpers"))
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
