"""One stage of a check on one case: the answer is run, and what goes wrong is told plainly."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from checks.grading import time_limit, traceback
from checks.grading.expect import require
from checks.grading.result import Asked, CheckFailed, Elsewhere, State, Wrong
from checks.grading.source import codes_of

Stage = Callable[[Any, Any], None]  # of an answer and a case
_OTHER_TYPES = re.compile(r"same dtype|expected scalar type|dtypes match")
_TYPES_DIFFER = (
    "Is a tensor made without dtype=x.dtype, or turned into another type on its way, or does a "
    "weight stand where `.to()` does not find it, as in a plain list?"
)
_PRODUCT = re.compile(r"cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)")
_SIZES = re.compile(r"tensor a \((\d+)\) must match .* tensor b \((\d+)\) at non-singleton .*(\d)")
OWN_SEEDS = 2**40  # torch's seed in a stage is above this, where nobody's own seed is


@dataclass(frozen=True)
class StageRun:
    """`stage(answer, case)` of the check of exercise `id`; `titles` are those of all its stages."""

    id: str
    name: str
    titles: tuple[str, ...]
    title: str
    stage: Stage
    answer: object
    case: object
    seed: int

    def run(self, seconds: float) -> None:
        """Raise `CheckFailed` unless the answer passes, whatever it does or raises."""
        try:
            time_limit.call(self._judge, seconds)
        except time_limit.TooSlow as slow:
            where = traceback.place_of_frame(slow.frame) or "a call into torch"
            ask = "Does it wait for something?" if slow.waited else "Does a loop never end?"
            said = f"your code {slow} on {self.case}, at {where}"
            raise self._failure("stopped", said, ask) from None

    def _judge(self) -> None:
        try:
            with fixed_torch_state(self.seed):
                self.stage(self.answer, self.case)
                require_unchanged_torch(OWN_SEEDS + self.seed)
        except time_limit.TooSlow:
            raise
        except KeyboardInterrupt as interrupt:
            if not traceback.raised_by_learner(interrupt):
                raise
            raise self._explained(interrupt) from None
        except Wrong as wrong:
            raise self._failure("wrong", str(wrong)) from None
        except Elsewhere as ended:
            raise self._ended(ended) from None
        except Asked as asked:
            raise self._explained(asked.__cause__ or asked, str(asked)) from None
        except BaseException as error:
            raise self._explained(error) from None

    def _ended(self, ended: Elsewhere) -> CheckFailed:
        if ended.state == "unwritten":
            return self._unwritten()
        return self._failure(ended.state, ended.said, *filter(None, [ended.place]))

    def _unwritten(self) -> CheckFailed:
        return CheckFailed(self.id, self.name, "unwritten", "not written yet.", stage=self.title)

    def _explained(self, error: BaseException, ask: str = "") -> CheckFailed:
        """The failure for what the answer raised, or what the stage raised because of it.

        `ask` is the stage's own question about it.
        """
        code = traceback.innermost_code(error)
        codes = codes_of(self.answer)
        own = traceback.is_learners(code.co_filename) and code in codes
        if isinstance(error, NotImplementedError) and own:
            return self._unwritten()
        said, place = traceback.sentence(error).rstrip("."), traceback.place(error, codes)
        asks = _asked_of(said)
        if place is not None:
            lasts = not isinstance(error, ImportError | MemoryError)
            if type(error) is NameError and error.name:
                asks = [f"Is there a cell that defines `{error.name}`, and has it run?"]
            helper = traceback.called(error)
            raised = f"your code raised {said}{helper and f', inside {helper}'}"
            raised = f"{raised}. {ask}" if ask else raised
            return self._failure("raised", raised, place, *asks, lasts=lasts)
        if isinstance(error, TypeError) and "argument" in said:
            return self._failure(
                "wrong", f"your code does not accept the arguments the lesson passes ({said})"
            )
        if not traceback.is_checks(code.co_filename):
            outside = f"what your code made failed outside your code ({said})"
            return self._failure("wrong", f"{outside}. {ask}" if ask else outside, *asks)
        return self._failure("wrong", f"what your code returned cannot be used here ({said})")

    def _failure(self, state: State, message: str, *lines: str, lasts: bool = True) -> CheckFailed:
        return CheckFailed(
            self.id,
            self.name,
            state,
            message,
            stage=self.title,
            lines=(*lines, *self._where(), f"{self.case} · seed={self.seed} reproduces this case"),
            details={"seed": self.seed, "case": self.case},
            lasts=lasts,
        )

    def _where(self) -> list[str]:
        at = self.titles.index(self.title)
        later = " · ".join(self.titles[at + 1 :])
        run = " · ".join([*(f"✓ {title}" for title in self.titles[:at]), f"✗ {self.title}"])
        return [run, f"not run: {later}"] if later else [run]


def _asked_of(said: str) -> list[str]:
    """What to ask about an error of torch's, which speaks of no name of the learner's."""
    if _OTHER_TYPES.search(said):
        return [_TYPES_DIFFER]
    if found := _PRODUCT.search(said):
        came, wanted = found.groups()
        return [f"Rows of {came} numbers come where rows of {wanted} are read: which are these?"]
    if found := _SIZES.search(said):
        first, second, dim = found.groups()
        return [
            f"Along dimension {dim} one has {first} and the other {second}: what does it count?"
        ]
    return []


def require_unchanged_torch(seed: int) -> None:
    """Raise Wrong unless torch still is as `fixed_torch_state` made it, with this seed."""
    require(
        torch.initial_seed() == seed,
        "your code sets torch's random seed, so whatever is drawn after it is always the same",
        "Can the `torch.manual_seed` go? The set-up cell has one.",
    )
    require(
        torch.get_default_dtype() == torch.float32,
        "your code changes torch's default type, so whatever is made after it has another",
        "Can `torch.set_default_dtype` go? `.to` changes one module, `dtype=` one tensor.",
    )
    require(
        torch.get_default_device().type == "cpu",
        "your code changes torch's default device, so whatever is made after it lies elsewhere",
        "Is it `with torch.device(...):`, which ends?",
    )
    require(
        torch.get_num_threads() == 1,
        "your code changes the number of torch's threads, and so it stays for all that follows",
        "Can `torch.set_num_threads` go? The set-up cell has one.",
    )
    require(
        torch.is_grad_enabled(),
        "your code turns gradients off, and off they stay for everything after it",
        "Is it `with torch.no_grad():` or `@torch.no_grad()`, which ends?",
    )


@contextmanager
def fixed_torch_state(seed: int) -> Iterator[None]:
    """torch with this seed, on the CPU, in float32, with gradients, on one thread; then put back.

    Autocast is off and products are exact. On tensors this small several threads would wait for
    each other longer than they compute.
    """
    kept, dtype = torch.get_rng_state(), torch.get_default_dtype()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        modes.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision("highest")
        torch.manual_seed(OWN_SEEDS + seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            if torch.get_default_device().type != "cpu":  # an answer has changed it
                torch.set_default_device("cpu")
            torch.set_rng_state(kept)
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            torch.set_num_threads(threads)
