"""The check of D2's open task: whether a rule steers loads towards even, by whatever means."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d2_open
from solutions.d1_moe import expert_load, load_cv

BATCHES = 100
_NEAR = 1e-6  # moves no further apart are alike
MOMENTS = (0, 20, 60, 99)  # batches at which a single step is looked at


@dataclass(frozen=True)
class Steering:
    """A bias and an uneven load; affinities that favour later experts."""

    num_experts: int
    top_k: int
    tokens: int
    seed: int
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        return f"{self.num_experts} experts, top_k={self.top_k}, {self.tokens} tokens per batch"

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def bias(self) -> Tensor:
        return 0.1 * torch.randn(self.num_experts, generator=self.generator(), dtype=self.dtype)

    def loads(self) -> list[Tensor]:
        """One where all differ and the first is idle, one where a single expert has everything."""
        choices = self.tokens * self.top_k
        uneven = torch.arange(self.num_experts) * (choices // self.num_experts)
        order = torch.randperm(self.num_experts, generator=self.generator())
        return [uneven[order], choices * (order == 0).long()]

    def affinity(self) -> Tensor:
        """`(T, E)` of one batch, the same for every batch."""
        logits = torch.randn(self.tokens, self.num_experts, generator=self.generator())
        return (logits + torch.linspace(-1, 1, self.num_experts)).sigmoid().to(self.dtype)


def _cases(rng: random.Random) -> list[Steering]:
    def case(**kind) -> Steering:
        experts, top_k = rng.randint(6, 12), rng.randint(1, 2)
        return Steering(experts, top_k, rng.randint(300, 500), rng.randrange(10**6), **kind)

    return [case(), case(), case(dtype=torch.float64)]


def _new(answer: Callable, bias: Tensor, load: Tensor, batch: int) -> Tensor:
    new = answer(bias, load, batch)
    name = "the new bias" if load.any() else "with no load at all the new bias"
    return expect.tensor(new, name, bias.shape, bias.dtype, "Is it made from bias?")


def _shape(answer: Callable, case: Steering) -> None:
    for load in (*case.loads(), torch.zeros(case.num_experts, dtype=torch.int64)):
        for batch in MOMENTS:
            _new(answer, case.bias(), load, batch)


def _use(answer: Callable, case: Steering) -> Used:
    inputs = {"bias": case.bias(), "load": case.loads()[0]}
    return lambda: answer(*inputs.values(), 0), lambda: inputs


def _nothing_kept(answer: Callable, case: Steering) -> None:
    first, other = case.loads()
    moves = [_new(answer, case.bias(), load, 20) for load in (first, other, first)]
    expect.require(
        torch.equal(moves[0], moves[2]),
        "the same bias, load and batch must give the same new bias, and another call in between "
        "changes it",
        "Is something kept from call to call, or drawn at random? Two layers share the rule.",
    )


def _renumbered(answer: Callable, case: Steering) -> None:
    bias, load = case.bias(), case.loads()[0]
    order = torch.randperm(case.num_experts, generator=case.generator().manual_seed(case.seed + 1))
    for batch in MOMENTS:
        want = _new(answer, bias, load, batch)[order]
        got = _new(answer, bias[order], load[order], batch)
        ask = "Does an expert's number decide what it gets?"
        when = "with experts in another order"
        slips = {ask: lambda got=got: got}
        expect.close(got, want, "the new bias", axes=("expert",), when=when, slips=slips)


def _direction(answer: Callable, case: Steering) -> None:
    """An uneven load moves no bias the wrong way, and at first some of them the right way."""
    for load in case.loads():
        order = load.argsort()
        for batch in MOMENTS:
            moves = _new(answer, case.bias(), load, batch) - case.bias()
            rises = _rises(moves, load)
            if rises > _NEAR:
                expect.require(
                    False,
                    f"a busier expert's bias must not rise more than an idler one's, and in batch "
                    f"{batch} it rises by {rises:.3g} more",
                    _why_it_rises(answer, case, load, batch),
                )
            expect.require(
                batch or moves[order[0]] > moves[order[-1]],
                "in the first batch the idlest expert's bias must rise beside the busiest one's, "
                "and both move alike",
                "What does the load change, if biases are only compared with each other?",
            )


def _rises(moves: Tensor, load: Tensor) -> float:
    """By how much more than its neighbour's a busier expert's bias rises, at most."""
    order = load.argsort()
    return float(moves[order].diff()[load[order].diff() > 0].max())


def _why_it_rises(answer: Callable, case: Steering, load: Tensor, batch: int) -> str:
    """The question that other loads and an old bias of 0 leave."""
    bias = case.bias()
    news = [_new(answer, bias, other, batch) for other in case.loads()]
    if torch.equal(*news):
        return "It is the same for another load: where does the load come in?"
    at_zero = _new(answer, torch.zeros_like(bias), load, batch)
    if _rises(at_zero, load) <= _NEAR:
        return "From a bias of 0 it does not: does the new bias go on from the old one, as it is?"
    moves = _new(answer, bias, load, batch) - bias
    if not moves[load == 0].any() and not (moves[load > load.double().mean()] > 0).any():
        return "Does an expert that nobody chose move too? It misses most."
    return "Is the sign of the step that of the rows which are missing?"


def _closed_loop(answer: Callable, case: Steering) -> None:
    """Over 100 batches the load of steady affinities gets twice as even, at least."""
    affinity, bias = case.affinity(), torch.zeros(case.num_experts, dtype=case.dtype)
    cvs = []
    for batch in range(BATCHES):
        load = expert_load((affinity + bias).topk(case.top_k).indices, case.num_experts)
        cvs.append(load_cv(load))
        bias = _new(answer, bias, load, batch)
    last = sum(cvs[-10:]) / 10
    expect.require(
        last <= cvs[0] / 2,
        f"after {BATCHES} batches of steady affinities the CV must be at most half of the "
        f"{cvs[0]:.2f} that it was, got {last:.2f}",
        "Are the moves too small to arrive, or so large that they swing for ever?",
    )


check_steer = Check(
    id="D2.O1",
    name="steer",
    reference_answer=d2_open.steer,
    draw=_cases,
    stages={
        "shape and type, no load too": _shape,
        "inputs untouched": untouched(_use, repeats=False),
        "nothing kept from call to call": _nothing_kept,
        "the same for experts in another order": _renumbered,
        "no busier expert's bias rises more": _direction,
        "steady affinities become twice as even": _closed_loop,
    },
    hints=(
        "The sign rule moves an expert that has one row too few as far as one that has none. "
        "What else could a move depend on?",
        "Look at 1 - E · load / load.sum(): 1 for an idle expert, 0 at the mean, below 0 above it.",
        "Move each bias by a rate times the root of what is missing, with its sign, and let the "
        "rate fall to 0 in the end. Then change it, and read CV and loss together.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.zeros(64), torch.arange(64), 0),
        run=lambda function, inputs: function(*inputs),
    ),
)
