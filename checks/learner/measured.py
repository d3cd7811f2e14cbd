"""Open tasks: an answer gets a figure instead of a pass, and the board keeps the best one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from checks.grading import time_limit, traceback
from checks.grading.check import Check
from checks.grading.result import CheckFailed
from checks.grading.stage_run import fixed_torch_state
from checks.learner_files import progress, this_notebook
from helpers.measuring.timing import median_milliseconds

SECONDS = 90.0


class NotMeasured(ValueError):
    """The answer has no figure; the message says why, in a sentence."""


@dataclass(frozen=True)
class Figure:
    """What an answer achieved, None where nothing could be measured, and the best one so far."""

    value: float | None
    best: float | None

    def _ipython_display_(self) -> None:
        """Nothing more: the sentence that was printed says it all."""


@dataclass(frozen=True)
class Measure:
    """Measures an answer to an open task; `measure(answer)` returns a `Figure` and never fails.

    `take` returns the figure of an answer, or raises `NotMeasured`; `better` says which of two is
    the better one. An answer that does not pass `check`, where one is given, has no figure. Nothing
    here belongs to the audit or to the fourteen subtasks.
    """

    exercise: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    take: Callable[[object], float]
    seconds: float = SECONDS
    check: Check | None = None

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise ValueError(f'better must be "lower" or "higher", got {self.better!r}')

    def __repr__(self) -> str:
        return f"measure of {self.exercise}, {self.title}: call it with your answer"

    def __call__(self, answer: object) -> Figure:
        """The answer's figure, said in one sentence; in `work/` the board keeps the best one."""
        try:
            value = self._taken(answer)
        except NotMeasured as why:
            end = "" if str(why).endswith("?") else "."  # a check's sentence may ask something
            print(f"{self.exercise} {self.title}: no figure, because {why}{end}")
            return Figure(None, self._best())
        best = self._better(value, self._best())
        if this_notebook.is_learners():
            progress.keep(self.exercise, title=self.title, figure=best, unit=self.unit)
        so_far = f" (best so far {best:.3g})" if best != value else ""
        print(f"{self.exercise} {self.title}: {value:.3g} {self.unit}{so_far}.")
        return Figure(value, best)

    def beside(self, answers: Mapping[str, object]) -> None:
        """Prints the figure of each of `answers`, by its name; the board never learns of them."""
        for name, answer in answers.items():
            try:
                print(f"{name:28} {self._taken(answer):.3g} {self.unit}")
            except NotMeasured as why:
                print(f"{name:28} no figure, because {why}")

    def _taken(self, answer: object) -> float:
        """The figure; whatever stands in its way is raised as `NotMeasured`."""
        if self.check is not None and (failure := self.check.failure(answer)):
            raise NotMeasured(_refused(self.check.name, failure))
        try:
            with fixed_torch_state(0):
                value = time_limit.call(lambda: self.take(answer), self.seconds)
        except NotMeasured:
            raise
        except NotImplementedError:
            raise NotMeasured("it is not written yet") from None
        except time_limit.TooSlow as slow:
            raise NotMeasured(f"it {slow}") from None
        except Exception as error:  # anything that an answer can do wrong
            raise NotMeasured(f"it raised {traceback.sentence(error).rstrip('.')}") from None
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise NotMeasured(f"what came is {value!r}")
        return float(value)

    def _best(self) -> float | None:
        """The best figure on the board; None outside `work/`, and where there is none."""
        kept = progress.read() if this_notebook.is_learners() else {}
        return kept.get(self.exercise, {}).get("figure")

    def _better(self, value: float, best: float | None) -> float:
        if best is None:
            return value
        return min(value, best) if self.better == "lower" else max(value, best)


def _refused(name: str, failure: CheckFailed) -> str:
    if failure.state == "unwritten":
        return "it is not written yet"
    return f"{name} does not pass its check: {failure.message.rstrip('.')}"


def time_ratio(
    mine: Callable[[], object], reference: Callable[[], object], turns: int = 7
) -> float:
    """How long `mine` takes in units of `reference`: medians of calls that run in turn."""
    times = median_milliseconds({"mine": mine, "reference": reference}, turns)
    return times["mine"] / times["reference"]
