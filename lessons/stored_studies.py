"""The stored studies: what each measured over its seeds, and the digest of what it measured.

A study is a module beside this one with `SEEDS`, `HERE` and `measure(seed)`, which returns a row
of numbers. A study that is stored is not run again until something that it imports has changed.
"""

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from course import ROOT
from helpers.atomic_file import write_atomically
from lessons import closure

FOLDER = Path(__file__).parent
MOVED = ROOT / "helpers" / "moved.py"
Row = dict[str, Any]


def names() -> list[str]:
    """Every study, in the lessons' order."""
    return sorted(path.stem for path in FOLDER.glob("d[0-9]_*.py"))


def is_stale(name: str) -> bool:
    """Whether the study was never stored, was made from other sources, or was edited since."""
    if not _path(name).is_file():
        return True
    kept = _read(name)
    return kept["digest"] != _digest(_made_from(name), kept["rows"])


def _made_from(name: str) -> str:
    """Torch's version, and the digest of the study and of all that it imports.

    The table of modules that moved is no part of it: it changes names and nothing that runs.
    """
    files = closure.closure(ROOT, [FOLDER / f"{name}.py"])
    sources = closure.digest(ROOT, [path for path in files if path != MOVED])
    return f"{torch.__version__.split('+')[0]} {sources}"


def _digest(made_from: str, found: list[Row]) -> str:
    return hashlib.sha256(f"{made_from} {json.dumps(found)}".encode()).hexdigest()


def rows(name: str) -> list[Row]:
    """The study's stored rows, one per seed; raises ValueError where they are of other sources."""
    if is_stale(name):
        raise ValueError(
            f"tests/studies/{name}.json was made from other sources: "
            f"run `python -m tests.studies {name}` and commit it"
        )
    return _read(name)["rows"]


def run(name: str) -> None:
    """Runs the study with each of its seeds and stores the rows."""
    study = import_module(f"tests.studies.{name}")
    made_from = _made_from(name)  # before the long run: the sources may be edited meanwhile
    found = [{"seed": seed} | study.measure(seed) for seed in study.SEEDS]
    text = json.dumps({"digest": _digest(made_from, found), "rows": found}, indent=1)
    write_atomically(_path(name), text + "\n")


def _read(name: str) -> dict[str, Any]:
    return json.loads(_path(name).read_text(encoding="utf-8"))


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"
