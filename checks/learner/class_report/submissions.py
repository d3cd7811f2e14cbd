"""What a class handed in: a folder per learner, and in it, at any depth, the lessons' notebooks.

That is how GitHub Classroom clones repositories (`ASSIGNMENT-submissions/ASSIGNMENT-NAME/`), how
nbgrader collects (`submitted/NAME/ASSIGNMENT/`), and how Moodle unpacks (`NAME_…_file_/`). Of a
whole copy of the course, `work/` counts before anything else, then `notebooks/`; its solutions and
tests never do.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 20_000_000  # bytes of a notebook
NEVER = {"solutions", "tests", "node_modules", "__pycache__"}
MOST_FILES = 100_000  # that are looked at in one learner's folder


@dataclass(frozen=True)
class Submission:
    """One learner's notebooks, by lesson; hints seen, by exercise; notes on what was chosen."""

    learner: str
    notebooks: dict[str, Path]
    hints: dict[str, int]
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """A digest of everything in it that a grade depends on."""
        digest = hashlib.sha256(json.dumps(self.hints, sort_keys=True).encode())
        for lesson, path in sorted(self.notebooks.items()):
            digest.update(f"\0{lesson}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def submissions(
    folder: Path, lessons: Sequence[str], without: Collection[Path] = ()
) -> list[Submission]:
    """Those of the learners in `folder`, by name; folders `without` and hidden ones are none's."""
    handed_in = folder / "submitted"  # nbgrader's course
    folder = handed_in if handed_in.is_dir() else folder
    left_out = {path.resolve() for path in without}
    return [
        _submission(path, lessons)
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith((".", "__"))
        if path.resolve() not in left_out
    ]


def _submission(folder: Path, lessons: Sequence[str]) -> Submission:
    found: dict[str, list[Path]] = {}
    notes = []
    for path in _files(folder):
        lesson = _lesson(path.name, lessons)
        if lesson and path.lstat().st_size > LARGEST:
            notes.append(f"{path.name} has over {LARGEST / 1e6:g} MB, and is not read.")
        elif lesson and not os.access(path, os.R_OK):
            notes.append(f"{path.name} may not be read by this account.")
        elif lesson:
            found.setdefault(lesson, []).append(path)
    chosen = {
        lesson: min(found[lesson], key=_Rank(folder)) for lesson in lessons if lesson in found
    }
    notes += [_choice(folder, found[lesson], path) for lesson, path in chosen.items()]
    return Submission(folder.name, chosen, _hints(chosen), tuple(filter(None, notes)))


def _files(folder: Path) -> Iterator[Path]:
    """Plain files below the folder; no link is followed, for it may lead to another learner."""
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in NEVER)
        for name in sorted(names):
            path = Path(place, name)
            if name.lower().endswith(".ipynb") and stat.S_ISREG(path.lstat().st_mode):
                yield path
        seen += len(names)
        if seen > MOST_FILES:
            return


def _lesson(name: str, lessons: Sequence[str]) -> str | None:
    """The lesson of `d1_moe.ipynb`, also as `d1_moe (1).ipynb` or `D1_MoE-2.ipynb`."""
    for lesson in lessons:
        if re.fullmatch(rf"{lesson}[\W\d_]*\.ipynb", name, re.IGNORECASE):
            return lesson
    return None


@dataclass(frozen=True)
class _Rank:
    """Lower counts before higher: `work/`, elsewhere, `notebooks/`; then shallow; then new."""

    folder: Path

    def __call__(self, path: Path) -> tuple[int, int, float, str]:
        inside = path.relative_to(self.folder).parts[:-1]
        place = 0 if "work" in inside else 2 if "notebooks" in inside else 1
        return place, len(inside), -path.lstat().st_mtime, path.name


def _choice(folder: Path, found: Sequence[Path], chosen: Path) -> str:
    if len(found) == 1:
        return ""
    others = ", ".join(p.relative_to(folder).as_posix() for p in sorted(found) if p != chosen)
    return f"{chosen.relative_to(folder).as_posix()} is graded, and not {others}."


def _hints(chosen: dict[str, Path]) -> dict[str, int]:
    """How many hints were seen, from the boards beside the notebooks; none of a broken one."""
    seen: dict[str, int] = {}
    for place in sorted({path.parent for path in chosen.values()}):
        for exercise, entry in _board(place / "progress.json").items():
            hints = entry.get("hints") if isinstance(entry, dict) else None
            if type(hints) is int and hints in (1, 2, 3):
                seen[exercise] = max(hints, seen.get(exercise, 0))
    return seen


def _board(path: Path) -> dict:
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > LARGEST:
            return {}
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}
