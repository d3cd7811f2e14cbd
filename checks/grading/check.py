"""A check: it takes the answer it grades, runs its stages and says what it found."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType

from checks.grading import signature
from checks.grading.comparison import Compared, Comparison, comparison
from checks.grading.minutes import minutes_of
from checks.grading.printing import few_lines
from checks.grading.result import CheckFailed, CheckResult
from checks.grading.source import Source, source_of, value_read_as
from checks.grading.stage_run import Stage, StageRun, fixed_torch_state
from checks.grading.verdicts import Verdicts, read_by
from checks.learner_files import progress, this_notebook
from checks.learner_files.answers import code_of
from checks.learner_files.plain_python import plain

SECONDS = 8.0  # a stage that computes longer than this on one case is stopped
COMPARE_SECONDS = 30.0


@dataclass
class Check:
    """Grades one exercise; `check(answer)` returns a `CheckResult` or raises `CheckFailed`.

    `draw` makes the cases of a run from a `random.Random`; each stage sees every case. `needs`
    are the checks of the parts that the answer is built from, by the names it uses them under.
    `preload` names modules that are imported before any stage's clock runs: those that a stage
    makes torch import, or one that starts processes.
    """

    id: str
    name: str
    reference_answer: Callable
    draw: Callable[[random.Random], Sequence[object]]
    stages: Mapping[str, Stage]
    hints: tuple[str, str, str]
    compared: Comparison | None = None
    needs: tuple["Check", ...] = ()
    preload: tuple[str, ...] = ()
    _level: int = field(default=0, init=False, repr=False)
    _verdicts: Verdicts[CheckFailed | None] = field(
        default_factory=Verdicts, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        return f"check of {self.id} {self.name}: call it with your {self.name}"

    @property
    def minutes(self) -> int:
        """What writing the exercise takes, by the rule of `lessons/minutes.py`."""
        return minutes_of(self.id)

    def __call__(self, answer: object, *, seed: int | None = None) -> CheckResult:
        """The result of a pass; every other outcome is raised as `CheckFailed`."""
        seed = _seed(seed)
        try:
            with few_lines():
                result = self._run(answer, seed)
        except CheckFailed as failed:
            if failed.state != "unwritten":
                failed = self._earlier_part(answer, failed) or failed
            progress.record(self.id, self.name, failed.state, self._code(answer))
            raise failed from None
        borrowed = answer is self.reference_answer
        progress.record(self.id, self.name, result.state, "" if borrowed else self._code(answer))
        return result

    def _code(self, answer: object) -> str:
        """A digest of the answer's code, "" where it is no plain function or class."""
        kind = type(answer)  # isinstance would ask the answer itself
        known = kind is FunctionType or issubclass(kind, type)
        return code_of(plain(source_of(answer) or "")[0], self.name) if known else ""

    def hint(self, level: int | None = None) -> Source:
        """The next hint, or that of a level: 1 a question, 2 the tensor to look at, 3 the words."""
        if level is not None and (type(level) is not int or level not in (1, 2, 3)):
            raise ValueError(f"level must be 1, 2 or 3, got {level!r}")
        self._level = level or min(self._level + 1, 3)
        progress.count_hint(self.id, self._level)
        more = "hint() again for the next" if self._level < 3 else "the last; solution() shows it"
        return Source(f"{self.id} hint {self._level} of 3 ({more})\n{self.hints[self._level - 1]}")

    def reference(self) -> Callable:
        """The reference's part, to go on with; the board marks it as borrowed."""
        progress.borrow(self.id)
        return self.reference_answer

    def solution(self) -> Source:
        """The reference's source."""
        return Source(source_of(self.reference_answer) or "")

    def compare(self, answer: Callable) -> Compared:
        """The answer beside the reference: difference, time ratio and both sources.

        Raises `CheckFailed` while the answer does not pass.
        """
        if self.compared is None:
            raise ValueError(f"{self.name} is not compared: nothing says on which inputs")
        seed, compared = _seed(None), self.compared
        made: list[Compared] = []
        self._run(answer, seed)

        def compare(answer: Callable, case: object) -> None:
            made.append(comparison(self.name, answer, self.reference_answer, compared))

        self._stage_run("compare", compare, answer, "larger inputs", seed).run(COMPARE_SECONDS)
        return made[0]

    def _run(self, answer: object, seed: int) -> CheckResult:
        refusal = signature.refusal(self.name, self.reference_answer, answer)
        if refusal:
            raise CheckFailed(self.id, self.name, "wrong", refusal, details={"seed": seed})
        for module in self.preload:
            import_module(module)
        start = time.perf_counter()
        with fixed_torch_state(seed):
            cases = list(self.draw(random.Random(seed)))
        for title, stage in self.stages.items():
            for case in cases:
                self._stage_run(title, stage, answer, case, seed).run(SECONDS)
        return CheckResult(
            self.id,
            self.name,
            tuple(self.stages),
            len(cases),
            "borrowed"
            if answer is self.reference_answer and this_notebook.is_learners()
            else "passed",
            {"seed": seed, "cases": cases, "seconds": time.perf_counter() - start},
        )

    def _stage_run(
        self, title: str, stage: Stage, answer: object, case: object, seed: int
    ) -> StageRun:
        titles = tuple(self.stages) if title in self.stages else (*self.stages, title)
        return StageRun(self.id, self.name, titles, title, stage, answer, case, seed)

    def _earlier_part(self, answer: object, failed: CheckFailed) -> CheckFailed | None:
        """The failure of a part the answer is built from, where that is what to mend first."""
        for part in self.needs:
            used = value_read_as(part.name, answer, part.reference_answer)
            cause = None if used is None else part.failure(used)
            if cause is not None:
                return self._built_from(part, cause, failed)
        return None

    def _built_from(self, part: "Check", cause: CheckFailed, failed: CheckFailed) -> CheckFailed:
        unwritten = cause.state == "unwritten"
        why = "is not written yet." if unwritten else f"does not pass yet: {cause.message}"
        first = f"{'Write' if unwritten else 'Mend'} {part.id} first: {self.name} is built from it."
        return CheckFailed(
            self.id,
            self.name,
            failed.state,
            f"{part.id} {part.name} {why}",
            stage=failed.stage,
            lines=(first,),
            details=failed.details,
            lasts=failed.lasts and cause.lasts,
        )

    def failure(self, answer: object) -> CheckFailed | None:
        """How the answer fails, or None; remembered until something that it reads is redefined."""
        read = read_by(answer)
        if read is not None and read in self._verdicts:
            return self._verdicts[read]
        failure = None
        try:
            self._run(answer, seed=0)
        except CheckFailed as failed:
            failure = self._earlier_part(answer, failed) or failed
        if failure is None or failure.lasts:  # a quieter machine may not stop it
            self._verdicts[read] = failure
        return failure


def _seed(seed: int | None) -> int:
    if seed is None:
        return random.SystemRandom().randrange(1_000_000)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")
    return seed
