"""The stored studies: what each measured over its seeds, and the digest of what it measured.

A study is a module in `tests/studies` with `SEEDS` and `measure(seed)`, which returns a row of
numbers. Its rows lie in `lessons/studies`, where lessons read them, and are measured again once
something that the study imports has changed.
"""

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from helpers.atomic_file import write_atomically
from lessons import closure

ROOT = Path(__file__).resolve().parent.parent
READ = re.compile(r"""\bstored_rows\(\s*["'](\w+)["']""")
PYTHON = platform.python_version()  # whose own texts two of the three domains are made of
Row = dict[str, Any]


def names(root: Path = ROOT) -> list[str]:
    """Every study, in the lessons' order."""
    return sorted(path.stem for path in (root / "tests" / "studies").glob("d[0-9]_*.py"))


def read_by(root: Path, stem: str) -> list[Path]:
    """The stored studies that the lesson `stem` reads, sorted."""
    text = (root / "lessons" / f"{stem}.py").read_text(encoding="utf-8")
    return [stored(root, name) for name in sorted(set(READ.findall(text)))]


def stored(root: Path, name: str) -> Path:
    return root / "lessons" / "studies" / f"{name}.json"


def is_stale(name: str, root: Path = ROOT) -> bool:
    """Whether the study was never stored, was made from other sources, or was edited since."""
    path = stored(root, name)
    if not path.is_file():
        return True
    kept = json.loads(path.read_text(encoding="utf-8"))
    return kept["digest"] != _digest(made_from(name, root), kept["rows"])


def made_from(name: str, root: Path = ROOT) -> str:
    """Torch's version, and the digest of the study and of all that it imports.

    The table of modules that moved is no part of it, nor how long threads spin while they wait:
    they change names and seconds, and no number of a study.
    """
    files = closure.closure(root, [root / "tests" / "studies" / f"{name}.py"])
    apart = {root / "helpers" / name for name in ("__init__.py", "moved.py")}
    sources = closure.digest(root, [path for path in files if path not in apart])
    return f"{torch.__version__.split('+')[0]} {sources}"


def _digest(sources: str, found: Sequence[Row]) -> str:
    return hashlib.sha256(f"{sources} {json.dumps(found)}".encode()).hexdigest()


def python_of(name: str, root: Path = ROOT) -> str:
    """The version of Python on whose texts the study was measured."""
    return json.loads(stored(root, name).read_text(encoding="utf-8"))["python"]


def rows(name: str, root: Path = ROOT) -> list[Row]:
    """The study's stored rows, one per seed; raises ValueError where they are of other sources."""
    if is_stale(name, root):
        raise ValueError(
            f"lessons/studies/{name}.json was made from other sources: "
            f"run `python -m tests.studies {name}` and commit it"
        )
    return json.loads(stored(root, name).read_text(encoding="utf-8"))["rows"]


def store(name: str, sources: str, found: Sequence[Row], root: Path = ROOT) -> None:
    """Afterwards the study's file holds the rows `found`, measured from `sources`."""
    kept = {"digest": _digest(sources, found), "python": PYTHON, "rows": found}
    text = json.dumps(kept, indent=1)
    stored(root, name).parent.mkdir(exist_ok=True)
    write_atomically(stored(root, name), text + "\n")
