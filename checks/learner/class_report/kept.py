"""What a grading keeps as it goes: a file per learner, so that it goes on where it stopped."""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from checks.learner.class_report.rows import Graded
from checks.learner.class_report.submissions import Submission
from helpers.atomic_file import write_atomically


@dataclass(frozen=True)
class Kept:
    """The results in `folder`, which hold while notebooks, course and rules are the same.

    `rules` is a text of everything but the notebooks that a grade depends on.
    """

    folder: Path
    rules: str

    def find(self, submission: Submission) -> Graded | None:
        """How a learner's notebooks were graded, None where they were not, or not to the end."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            kept = json.loads(self._path(submission).read_text(encoding="utf-8"))
            if kept["of"] == self._digest(submission):
                return Graded.of(kept["graded"])
        return None

    def keep(self, submission: Submission, graded: Graded) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {"of": self._digest(submission), "graded": graded.as_json()}
        write_atomically(self._path(submission), json.dumps(kept, indent=1))

    def _path(self, submission: Submission) -> Path:
        return self.folder / f"{file_name(submission.learner)}.json"

    def _digest(self, submission: Submission) -> str:
        everything = f"{submission.learner}\0{submission.digest()}\0{self.rules}"
        return hashlib.sha256(everything.encode("utf-8", "replace")).hexdigest()


def file_name(learner: str) -> str:
    """A file's name for a learner on every system, without its ending; no two have the same."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", learner).strip("_")[:40]
    digest = hashlib.sha256(learner.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}" if readable else digest
