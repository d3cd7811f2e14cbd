"""A check: it takes the answer it grades, runs its stages and says what it found."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from checks import board, frames, limit
from checks.compare import Comparison, comparison
from checks.expect import shown
from checks.outcome import CheckFailed, CheckResult, Wrong
from checks.source import Source, codes_of, namespace_of, source_of

SECONDS = 8.0  # a stage that runs longer is stopped

Stage = Callable[[object, object], None]


@dataclass
class Check:
    """Grades one exercise; `check(answer)` returns a `CheckResult` or raises `CheckFailed`.

    `draw` makes the cases of a run from a `random.Random`; each stage sees every case. `needs`
    are the checks of the parts that the answer is built from, by the names it uses them under.
    """

    id: str
    name: str
    minutes: int
    reference_answer: object
    draw: Callable[[random.Random], Sequence[object]]
    stages: Mapping[str, Stage]
    hints: tuple[str, str, str]
    compared: Comparison | None = None
    needs: tuple["Check", ...] = ()
    _rung: int = field(default=0, init=False, repr=False)
    _judged: tuple = field(default=(), init=False, repr=False)

    def __repr__(self) -> str:
        return f"check of {self.id} {self.name}: call it with your {self.name}"

    def __call__(self, answer: object, *, seed: int | None = None) -> CheckResult:
        """The result of a pass; every other outcome is raised as `CheckFailed`."""
        seed = _seed(seed)
        try:
            result = self._run(answer, seed)
        except CheckFailed as failed:
            if failed.state != "unwritten":
                failed = self._earlier_part(answer, failed) or failed
            board.record(self.id, failed.state)
            raise failed from None
        board.record(self.id, result.state)
        return result

    def hint(self, rung: int | None = None) -> Source:
        """The next of three rungs: a question, the tensor to look at, the line in words."""
        if rung not in (None, 1, 2, 3):
            raise ValueError(f"rung must be 1, 2 or 3, got {rung!r}")
        self._rung = rung or min(self._rung + 1, 3)
        board.count_hint(self.id, self._rung)
        more = "hint() again for the next" if self._rung < 3 else "the last; solution() shows it"
        return Source(f"{self.id} hint {self._rung} of 3 ({more})\n{self.hints[self._rung - 1]}")

    def reference(self) -> object:
        """The reference's part, to go on with; the board marks it as borrowed."""
        board.record(self.id, "borrowed")
        return self.reference_answer

    def solution(self) -> Source:
        """The reference's source."""
        return Source(source_of(self.reference_answer))

    def compare(self, answer: object) -> object:
        """The answer beside the reference: difference, time ratio and both sources.

        Raises `CheckFailed` while the answer does not pass.
        """
        self._run(answer, _seed(None))
        return comparison(self, answer)

    def _run(self, answer: object, seed: int) -> CheckResult:
        self._refuse_wrong_kind(answer)
        start = time.perf_counter()
        cases = list(self.draw(random.Random(seed)))
        for title, stage in self.stages.items():
            for case in cases:
                self._run_stage(title, stage, answer, case, seed)
        return CheckResult(
            self.id,
            self.name,
            tuple(self.stages),
            len(cases),
            "borrowed" if answer is self.reference_answer and board.in_work() else "passed",
            {"seed": seed, "cases": cases, "seconds": time.perf_counter() - start},
        )

    def _run_stage(self, title: str, stage: Stage, answer: object, case: object, seed: int):
        def fail(state: str, message: str, *lines: str) -> CheckFailed:
            extra = (*lines, self._where(title), f"{case} · repeat with seed={seed}")
            return CheckFailed(
                self.id,
                self.name,
                state,
                message,
                stage=title,
                lines=() if state == "unwritten" else extra,
                details={"seed": seed, "case": case},
            )

        def guarded() -> None:
            with _own_world(seed):
                stage(answer, case)

        try:
            limit.call(guarded, SECONDS)
        except Wrong as wrong:
            raise fail("wrong", str(wrong)) from None
        except limit.TooSlow as slow:
            where = frames.place_of_frame(slow.frame) or "a call into torch"
            raise fail("stopped", f"{slow}, at {where}", "Does a loop never end?") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._explained(answer, error, fail) from None

    def _explained(
        self, answer: object, error: BaseException, fail: Callable[..., CheckFailed]
    ) -> CheckFailed:
        raised_in = frames.innermost_code(error)
        if isinstance(error, NotImplementedError) and raised_in in codes_of(answer):
            return fail("unwritten", "not written yet.")
        place = frames.place(error)
        if place is None:
            said = frames.sentence(error)
            return fail("wrong", f"what your code returned cannot be used here ({said})")
        return fail("raised", f"your code raised {frames.sentence(error)}", place)

    def _where(self, title: str) -> str:
        titles = list(self.stages)
        at = titles.index(title)
        passed, later = titles[:at], titles[at + 1 :]
        parts = [f"✓ {name}" for name in passed] + [f"✗ {title}"]
        return " · ".join(parts + [f"not run: {', '.join(later)}"] * bool(later))

    def _refuse_wrong_kind(self, answer: object) -> None:
        kind = "class" if isinstance(self.reference_answer, type) else "function"
        right = isinstance(answer, type) if kind == "class" else callable(answer)
        if right and not (kind == "function" and isinstance(answer, type)):
            return
        message = f"give the check the {kind} itself, {self.name}, not {shown(answer)}."
        raise CheckFailed(self.id, self.name, "wrong", message)

    def _earlier_part(self, answer: object, failed: CheckFailed) -> CheckFailed | None:
        """The failure of a part the answer is built from, where that is what to mend first."""
        names = namespace_of(answer)
        for part in self.needs:
            theirs = names.get(part.name, part.reference_answer)
            cause = part._failure(theirs)
            if cause is not None:
                message = f"{part.id} {part.name} does not pass yet ({cause.message})"
                ask = f"Mend {part.id} first: {self.name} is built from it."
                return CheckFailed(self.id, self.name, failed.state, message, lines=(ask,))
        return None

    def _failure(self, answer: object) -> CheckFailed | None:
        """How the answer fails, or None; remembered where it depends on no other answer."""
        if self._judged and self._judged[0] is answer and not self.needs:
            return self._judged[1]
        try:
            self._run(answer, seed=0)
            failure = None
        except CheckFailed as failed:
            failure = self._earlier_part(answer, failed) or failed
        self._judged = answer, failure
        return failure


def _seed(seed: int | None) -> int:
    if seed is None:
        return random.SystemRandom().randrange(1_000_000)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")
    return seed


class _own_world:
    """torch's seed, default type, gradient mode and threads set for a stage, put back after it.

    One thread: on tensors this small the threads wait for each other longer than they compute.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def __enter__(self) -> None:
        self.kept = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)

    def __exit__(self, *_: object) -> None:
        state, dtype, grad = self.kept
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(self.threads)
