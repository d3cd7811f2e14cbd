"""The files that a watched notebook consists of, and whether they were saved anew."""

import hashlib
from pathlib import Path

import checks
from checks.learner_files import paths
from checks.learner_files.notebook import UnreadableNotebook, read

Stamp = tuple[int, int] | None


class Saved:
    """A lesson's notebook in `work/`, those of the lessons before it, and modules beside them."""

    def __init__(self, lesson: str):
        self.notebook = paths.WORK / f"{lesson}.ipynb"
        before = checks.STEMS[: checks.STEMS.index(lesson)]
        self._earlier = [paths.WORK / f"{stem}.ipynb" for stem in before]
        self._stamps: dict[Path, Stamp] | None = None
        self._contents: dict[Path, str] = {}

    def changed(self) -> bool:
        """Whether a file has another content than at the last call; true of the first.

        Stamps are compared for equality, so a clock that was set back hides nothing.
        """
        files = [self.notebook, *self._earlier, *sorted(paths.WORK.glob("*.py"))]
        stamps = {path: _stamp(path) for path in files}
        if stamps == self._stamps:
            return False
        self._stamps = stamps  # of before the contents: what is saved meanwhile is seen next time
        contents = {path: _content(path) for path in files}
        known, self._contents = self._contents, contents
        return contents != known

    def elsewhere(self) -> str:
        """A digest of the code that the notebook builds on and that lies in other files."""
        code = [_code(path) for path in self._earlier]
        code += [content for path, content in self._contents.items() if path.suffix == ".py"]
        return hashlib.sha256("\0".join(code).encode("utf-8", "replace")).hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _code(path: Path) -> str:
    try:
        return "\0".join(f"{cell.role} {cell.exercise} {cell.source}" for cell in read(path))
    except UnreadableNotebook:
        return ""
