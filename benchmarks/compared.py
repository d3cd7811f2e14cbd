"""Two programs timed in turn: how many times as fast ours is, with its spread."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helpers.measuring.timing import milliseconds

TURNS = 15
TRIALS = 3  # of each of their ways, to find the best


@dataclass(frozen=True)
class Compared:
    """`ours` and `theirs` are medians in `unit`; ratios are theirs over ours, turn by turn."""

    what: str
    threads: int
    ours: float
    theirs: float
    way: str
    lower_quartile: float
    ratio: float
    upper_quartile: float
    asked: float
    unit: str = "ms"

    @property
    def is_met(self) -> bool:
        return self.lower_quartile >= self.asked


def compared(
    what: str,
    threads: int,
    asked: float,
    ours: Callable[[], object],
    theirs: Mapping[str, Callable[[], object]],
    turns: int = TURNS,
) -> Compared:
    """Ours beside the fastest of their ways, which a few trials find; each is warmed up first."""
    trials = {way: [milliseconds(call) for _ in range(TRIALS)] for way, call in theirs.items()}
    way = min(trials, key=lambda name: min(trials[name]))
    milliseconds(ours)
    pairs = [(milliseconds(ours), milliseconds(theirs[way])) for _ in range(turns)]
    return of_pairs(what, threads, asked, way, pairs)


def of_pairs(
    what: str,
    threads: int,
    asked: float,
    way: str,
    pairs: Sequence[tuple[float, float]],
    unit: str = "ms",
) -> Compared:
    """The row of what was measured in turn, ours first."""
    low, middle, high = statistics.quantiles((b / a for a, b in pairs), n=4)
    own, other = (statistics.median(values) for values in zip(*pairs, strict=True))
    return Compared(what, threads, own, other, way, low, middle, high, asked, unit)
