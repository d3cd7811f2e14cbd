"""The check of D4's open task: whether a configuration makes a model, and keeps to the budget."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.grading.stage_run import require_unchanged_torch
from checks.grading.time_limit import LAZY_TORCH
from checks.grading.traceback import sentence
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_open
from solutions.d4_deepseek import DeepSeek, count_parameters

VOCABULARY = 1024  # tokens of the lesson's stories
BUDGET = 690_240  # parameters that a token uses of the lesson's `small`
MOST = 20_000_000  # in all: 320 MB while Adam trains


@dataclass(frozen=True)
class Vocabulary:
    """One case: how many tokens there are."""

    size: int
    seed: int

    def __str__(self) -> str:
        return f"a vocabulary of {self.size:,} tokens"

    def ids(self) -> Tensor:
        """`(B, L)` of two rows."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(self.size, (2, 40), generator=generator)


def _cases(rng: random.Random) -> list[Vocabulary]:
    sizes = VOCABULARY, rng.randint(500, 1000)
    return [Vocabulary(size, rng.randrange(10**6)) for size in sizes]


def _given(answer: Callable, size: int) -> DeepSeekConfig:
    """What the call returns, once it is a configuration and nothing was drawn."""
    seed, drawn = torch.initial_seed(), torch.get_rng_state()
    config = answer(size)
    require_unchanged_torch(seed)
    expect.require(
        torch.equal(drawn, torch.get_rng_state()),
        "the call must draw nothing from torch's generator",
        "Does it make a model, or draw a number? `count_parameters` makes one without drawing.",
    )
    expect.require(
        type(config) is DeepSeekConfig,
        f"my_config must return a DeepSeekConfig, got {expect.shown(config)}",
        "Is it what `DeepSeekConfig(...)` makes that comes back, alone?",
    )
    return config


@contextmanager
def _works(what: str) -> Iterator[None]:
    """What goes wrong within is told as a fault of the configuration."""
    try:
        yield
    except Exception as error:
        said = sentence(error).rstrip(".")
        raise Wrong(f"{what} of the configuration must work, and it raised {said}") from error


def _kind(answer: Callable, case: Vocabulary) -> None:
    _given(answer, case.size)


def _passed_on(answer: Callable, case: Vocabulary) -> None:
    got = _given(answer, case.size).vocab_size
    expect.require(
        got == case.size,
        f"vocab_size of the configuration must be {case.size}, as given, got {got}",
        "Does `vocab_size=vocab_size` stand in it, and is a configuration made at each call?",
    )


def _the_same_again(answer: Callable, case: Vocabulary) -> None:
    first, _, again = (_given(answer, size) for size in (case.size, 700, case.size))
    expect.require(
        first == again,
        "the same vocabulary must give the same configuration again",
        "Is a number drawn, or kept from call to call?",
    )


def _counts(answer: Callable, case: Vocabulary) -> tuple[int, int]:
    config = _given(answer, case.size)
    with _works("The model"):
        return count_parameters(config)


def _counted(answer: Callable, case: Vocabulary) -> None:
    total, _ = _counts(answer, case)
    expect.require(
        total <= MOST,
        f"the model must hold at most {MOST:,} parameters, got {total:,}",
        "How many experts does it need? Each takes memory, used or not.",
    )


def _budget(answer: Callable, case: Vocabulary) -> None:
    if case.size != VOCABULARY:
        return
    _, active = _counts(answer, case)
    expect.require(
        active <= BUDGET,
        f"of {VOCABULARY:,} tokens each may use at most {BUDGET:,} parameters, as of `small`, and "
        f"uses {active:,}",
        "`count_parameters(my_config(1024))` says both counts. What can be narrower, or fewer?",
    )


def _runs(answer: Callable, case: Vocabulary) -> None:
    """Logits and gradients of a batch are finite."""
    config, ids = _given(answer, case.size), case.ids()
    with _works("A step"):
        model = DeepSeek(config)
        logits = model(ids[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    ask = "Which number is far too large or too small: scale, theta, norm_eps?"
    shape = (*ids[:, :-1].shape, case.size)
    _finite(logits, "the model's logits", ask)
    expect.tensor(logits.detach(), "the model's logits", shape, torch.float32)
    for weight in model.parameters():
        if weight.grad is not None:
            _finite(weight.grad, "the model's gradients", ask)


def _finite(numbers: Tensor, name: str, ask: str) -> None:
    expect.require(numbers.isfinite().all(), f"{name} must be finite, got NaN or infinity", ask)


check_my_config = Check(
    id="D4.O1",
    name="my_config",
    preload=LAZY_TORCH,
    reference_answer=d4_open.my_config,
    draw=_cases,
    stages={
        "a DeepSeekConfig, and torch as it was": _kind,
        "vocab_size passed on": _passed_on,
        "the same each time": _the_same_again,
        "a model can be made, and is not too large": _counted,
        "no token uses more than the budget": _budget,
        "logits and gradients of a batch": _runs,
    },
    hints=(
        "What does a token use of `small` for attention, what for experts, what for embedding and "
        "head? Which of these looks back to a name told before?",
        "Look at `count_parameters(replace(small, expert_dim=32))`: what narrower experts free is "
        "enough for one layer more. And at the scores before the softmax: they begin small.",
        "Take four layers, 16 experts of width 32, the rest as in `small`, and double all scores: "
        "`yarn=Yarn(factor=2.0, trained=2**20, mscale_all_dim=6.0)`, which leaves the angles.",
    ),
    compared=Comparison(
        inputs=lambda: (VOCABULARY,),
        run=lambda function, inputs: torch.tensor(count_parameters(function(*inputs))),
    ),
)
