"""What is said of one learner and exercise, and of one learner: plain data that JSON keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PASSED = ("passed", "borrowed")
# In words for people; the first six are the states of a check, the others those of a class.
WORDS = {
    "passed": "passed",
    "borrowed": "borrowed from the reference",
    "unwritten": "not written yet",
    "wrong": "wrong",
    "raised": "raised an error",
    "stopped": "stopped: it never ended",
    "ended": "ended its process",
    "missing": "not handed in",
    "unreadable": "the notebook cannot be read",
    "not run": "did not run",
}
LONGEST = 2000  # letters of a message that are kept


@dataclass(frozen=True)
class Row:
    """One learner's exercise: its state, a key of `WORDS`, and where and why it did not pass.

    `seed` is that of the check, None where none ran.
    """

    exercise: str
    state: str
    stage: str = ""
    message: str = ""
    hints: int = 0
    seed: int | None = None

    @property
    def done(self) -> bool:
        return self.state in PASSED

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Row":
        """The row that `kept` describes; raises `ValueError` unless it is one, of plain types."""
        exercise, state = kept.get("exercise"), kept.get("state")
        seed = kept.get("seed")
        fits = isinstance(exercise, str) and isinstance(state, str) and state in WORDS
        if not fits or not isinstance(seed, int | None):
            raise ValueError(f"no row: {kept!r:.100}")
        hints = kept.get("hints", 0)
        stage, message = (str(kept.get(name, ""))[:LONGEST] for name in ("stage", "message"))
        seen = hints if hints in (1, 2, 3) else 0
        return cls(str(exercise), str(state), stage, message, seen, seed)


@dataclass(frozen=True)
class Graded:
    """One learner: a row per exercise, in the course's order, and notes on what was handed in."""

    learner: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def stops_at(self) -> Row | None:
        """The first exercise that is not done, or None where all are."""
        return next((row for row in self.rows if not row.done), None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Graded":
        rows = tuple(map(Row.of, kept["rows"]))
        return cls(str(kept["learner"]), rows, tuple(kept["notes"]), float(kept["seconds"]))
