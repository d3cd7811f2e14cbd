"""The check of D4.3c: one token per row, drawn from its own distribution."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d4_deepseek.generation.sample_questions import (
    expect_one_id,
    why_impossible,
    why_not_best,
    why_other_ids,
)
from checks.d4_deepseek.generation.shares import (
    expect_shares,
    slip_of_normal_noise,
    slips_of_bounds,
    wrong_shares,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d4_deepseek as reference

DRAWS = 2000  # rows of a case in one call, whatever they are copies of
_TEMPERATURES = (0.02, 0.5, 1, 20.0)
_TAIL = 1500  # unlikely tokens, which together come nearly half of the time
_RARE = 0.009  # the share of the least likely; pure chance draws none of them once in 60 million


@dataclass(frozen=True)
class _Scores:
    """One case: `rows` rows of `vocab` logits that are clearly apart, in an order of their own."""

    rows: int
    vocab: int
    seed: int
    dtype: torch.dtype = torch.float32
    contiguous: bool = True

    def __str__(self) -> str:
        return f"logits of shape {(self.rows, self.vocab)}, {self.dtype}".replace("torch.", "")

    def logits(self, spread: float = 2.0) -> Tensor:
        """`(B, V)` over a range of `spread`; the best token of neighbouring rows differs."""
        generator = torch.Generator().manual_seed(self.seed)
        order = [torch.randperm(self.vocab, generator=generator) for _ in range(self.rows)]
        for row in range(1, self.rows):
            if order[row].argmax() == order[row - 1].argmax():
                order[row] = order[row].roll(1)
        logits = torch.stack(order).to(self.dtype) / (self.vocab - 1) * spread - spread
        return logits if self.contiguous else strided(logits)


def _scores(rng: random.Random) -> list[_Scores]:
    """Four cases: a few rows, float64, one row, more rows than tokens."""

    def case(rows: int, vocab: int, **kind: Any) -> _Scores:
        return _Scores(rows, vocab, rng.randrange(10**6), **kind)

    few, some, many = rng.randint(2, 3), rng.randint(4, 6), rng.randint(7, 9)
    return [
        case(few, some),
        case(few + 1, some + 1, dtype=torch.float64, contiguous=False),
        case(1, some),
        case(many, 4),
    ]


def _tokens(answer, logits: Tensor, temperature: float) -> Tensor:
    """What the answer draws, once it is one id of the vocabulary for each row."""
    batch, vocab = logits.shape
    ask = "At temperature 0 nothing is divided or drawn. Is it a case of its own, the best token, "
    ask += "and is it that case which is taken at 0?"
    if temperature != 0:
        ask = f"Which line makes no probabilities of these logits, at temperature {temperature}?"
    with expect.asking(ask, "probability tensor|ZeroDivisionError"):
        got = answer(logits.clone(), temperature)
    name = f"the tokens, at temperature {temperature},"
    expect_one_id(got, logits, name)
    expect.tensor(got, name, (batch,), torch.int64, why_other_ids(got, logits), ("rows",))
    low, high = int(got.min()), int(got.max())
    expect.require(
        low >= 0 and high < vocab,
        f"{name} must be between 0 and {vocab - 1}, got {low if low < 0 else high}",
    )
    return got


def _shape(answer, case: _Scores) -> None:
    for temperature in (0, 1.0, 0.5):
        _tokens(answer, case.logits(), temperature)


def _expect_best(answer, logits: Tensor, temperature: float, why: Callable[[Tensor], str]) -> None:
    """`why` maps the tokens that came to the question that they call for."""
    got, want = _tokens(answer, logits, temperature), logits.argmax(dim=-1)
    for row in range(len(logits)):
        expect.require(
            got[row] == want[row],
            f"at temperature {temperature} the token of row {row} must be the best, "
            f"{int(want[row])}, got {int(got[row])}",
            why(got),
        )


def _greedy(answer, case: _Scores) -> None:
    """Several times: a draw that is right once is not right always."""
    for spread in (2.0, 0.5, 0.1, 3e-6):
        for temperature in (0, 0.0):
            many = case.logits(spread).repeat(8, 1)
            _expect_best(answer, many, temperature, lambda got: why_not_best(got, case.rows))


def _impossible(answer, case: _Scores) -> None:
    """Every second token has -inf, in each row others, but for the first and the last."""
    many = case.logits(0.5).repeat(DRAWS // case.rows, 1)
    odd = (torch.arange(case.vocab) + torch.arange(len(many))[:, None]) % 2 == 1
    odd[:, [0, -1]] = False
    many[odd] = -torch.inf
    for temperature in (0, 3.0):
        got = _tokens(answer, many, temperature)
        came = int((many.gather(1, got[:, None]) == -torch.inf).sum())
        expect.require(
            came == 0,
            f"a token whose logit is -inf must never be drawn, and it came {came} times in "
            f"{len(many)} draws at temperature {temperature}",
            why_impossible(got, many),
        )


def _said(ask: str, _: Tensor) -> str:
    return ask


def _nearly_greedy(answer, case: _Scores) -> None:
    """Logits with a number added are large, and so are logits over a small temperature."""
    for _ in range(3):
        ask = "All others are at least 20 below it. Is each row's draw by its own softmax?"
        _expect_best(answer, case.logits(200) + 500, 1.0, partial(_said, ask))
    for temperature in (0.01, 0.001) * 3:
        ask = "Are the logits divided by temperature, before a softmax over each row's tokens? Or: "
        ask += "Is noise divided together with them? Temperature then cancels."
        _expect_best(answer, case.logits(), temperature, partial(_said, ask))


def _shares(answer, case: _Scores) -> None:
    """Many copies of the rows in turn: a row's draws are then those of its copies.

    All rows have the same logits in other orders, so their draws are counted together too, by the
    rank of the token in its row.
    """
    for temperature in _TEMPERATURES:
        logits = case.logits(spread=2 * temperature)
        got = _tokens(answer, logits.repeat(DRAWS // case.rows, 1), temperature)
        for row, scores in enumerate(logits):
            one, name = got[row :: case.rows], f"at temperature {temperature}, row {row}"
            slips = wrong_shares(scores, temperature) | slips_of_bounds(scores, temperature)
            slips |= slip_of_normal_noise(scores, temperature)
            if (one == one[0]).all():
                slips = _slips_of_one_token(answer, logits, temperature, one)
            expect_shares(one, (scores.double() / temperature).softmax(-1), name, slips)
        _expect_ranks(got, logits, temperature)


def _expect_ranks(got: Tensor, logits: Tensor, temperature: float) -> None:
    """The draws of all rows together; rank 0 is a row's least likely token."""
    ranks = logits.argsort(dim=-1).argsort(dim=-1).repeat(len(got) // len(logits), 1)
    ordered = logits[0].sort().values
    name = f"at temperature {temperature}, all rows counted together by rank from the least likely"
    drawn = ranks.gather(1, got[:, None])[:, 0]
    slips = wrong_shares(ordered, temperature) | slip_of_normal_noise(ordered, temperature)
    first = "Is each row drawn by its own probabilities, and not by another row's?"
    even = torch.full((len(ordered),), 1 / len(ordered), dtype=torch.float64)
    own = (ordered.double() / temperature).softmax(-1)
    slips[first] = lambda: own / len(logits) + even * (1 - 1 / len(logits))
    expect_shares(drawn, own, name, slips, of="rank")


def _unlikely(answer, case: _Scores) -> None:
    """Many tokens of which each is unlikely, and all together come half of the time."""
    if case.contiguous:
        return  # one case is enough
    scores = torch.linspace(-8.0, -7.0, _TAIL, dtype=case.dtype)
    scores = torch.cat([scores, scores.new_zeros(1)])  # the tail, then the best
    temperature, probs = 0.7, scores.double().softmax(-1)
    order = torch.randperm(_TAIL + 1, generator=torch.Generator().manual_seed(case.seed))
    got = _tokens(answer, (temperature * scores[order]).expand(DRAWS, -1), temperature)
    groups = (torch.arange(_TAIL + 1) * 8 // _TAIL).clamp(max=8)  # eight of the tail; the best
    shares = torch.zeros(9, dtype=torch.float64).index_add_(0, groups, probs)
    name = f"of {_TAIL + 1} tokens in nine groups, from the least likely up to the best alone"
    ask = "Are unlikely tokens left out (top-k, top-p, min-p)? Every token has its share."
    drawn = groups[order[got]]
    least = drawn.bincount(minlength=9)[:8].double()
    fewer = bool((least < DRAWS * shares[:8]).sum() > 4)
    came = drawn.bincount(minlength=9).double() / DRAWS
    expect_shares(drawn, shares, name, {ask: lambda: came} if fewer else {}, of="group")
    rare = int((probs.cumsum(0) <= _RARE).sum())
    expect.require(
        (order[got] < rare).any(),
        f"the {rare} least likely of {_TAIL + 1} tokens must come about {_RARE * DRAWS:.0f} times "
        f"in {DRAWS} draws, and none came",
        ask,
    )


def _slips_of_one_token(
    answer: Callable, logits: Tensor, temperature: float, tokens: Tensor
) -> dict[str, Callable[[], Tensor]]:
    """The question to equal rows that all drew one token: more calls tell the best token from a
    draw that all rows share.
    """
    best, more = logits.argmax(-1), [_tokens(answer, logits, temperature) for _ in range(20)]
    ask = "Is there one draw for all rows? Each row has its own."
    if all(torch.equal(got, best) for got in more):
        ask = _why_always_best(answer, logits, temperature)
    return {ask: lambda: torch.eye(logits.shape[-1], dtype=torch.float64)[tokens[0]]}


def _why_always_best(answer: Callable, logits: Tensor, temperature: float) -> str:
    """The question to the best token in every draw, by what comes at a high temperature."""
    best, high = logits.argmax(-1), _TEMPERATURES[-1]
    if all(torch.equal(_tokens(answer, logits, high), best) for _ in range(20)):
        return "Is the best token always taken, as for temperature 0?"
    ask = "Is the best token taken at other temperatures than 0 too"
    return f"{ask}, or is temperature made a whole number?" if temperature < 1 else f"{ask}?"


def _anew(answer, case: _Scores) -> None:
    """Two calls differ unless torch's random numbers are the same, and equal rows agree as often as
    draws that know nothing of each other.
    """
    logits = case.logits(spread=1.0)[:1]
    many = logits.repeat(DRAWS, 1)
    start = torch.get_rng_state()
    first, second = _tokens(answer, many, 1.0), _tokens(answer, many, 1.0)
    expect.require(
        not torch.equal(first, second),
        f"two calls must draw anew, and all {len(first)} tokens came out the same",
        "Is a seed set within it?",
    )
    torch.set_rng_state(start)
    expect.require(
        torch.equal(first, _tokens(answer, many, 1.0)),
        "from the same random numbers of torch's the same tokens must be drawn, and others came",
        "Are all draws torch's, from its default generator? `torch.manual_seed` then repeats them.",
    )
    chance = (logits[0].double().softmax(-1) ** 2).sum()
    pairs = (first[::2] == first[1::2]).long()
    name = "of neighbouring rows that are equal, each drawn for itself (1 for an equal pair)"
    expect_shares(pairs, torch.stack([1 - chance, chance]), name, {})


def _use(answer, case: _Scores) -> Used:
    logits = case.logits()
    return lambda: [answer(logits, t) for t in (0, 0.5)], lambda: {"logits": logits}


def _compared(function: Callable, inputs: tuple) -> Tensor:
    """Draws, for the time they take; what is held against the reference is the best token."""
    function(*inputs, 0.8)
    return function(*inputs, 0)


check_sample = Check(
    id="D4.3c",
    name="sample",
    reference_answer=reference.sample,
    draw=_scores,
    stages={
        "one id per row": _shape,
        "inputs untouched": untouched(_use, repeats=False),
        "temperature 0: the best": _greedy,
        "a token with -inf never comes": _impossible,
        "a small temperature, and large logits": _nearly_greedy,
        "every token as often as softmax(logits / temperature) says": _shares,
        "unlikely tokens come too": _unlikely,
        "each row and each call draws anew": _anew,
    },
    hints=(
        "Temperature 0.5 makes the best token more likely than temperature 1. Are logits divided "
        "by it or multiplied? And what would a division by 0 make of them?",
        "Look at (logits / temperature).softmax(dim=-1): (B, V), each row sums to 1. "
        "torch.multinomial draws from rows, and returns (B, 1).",
        "At temperature 0 return the argmax of each row; else divide by temperature, take the "
        "softmax, draw one of each row with multinomial, and drop the last dimension.",
    ),
    compared=Comparison(inputs=lambda: (torch.randn(64, 1000),), run=_compared),
)
