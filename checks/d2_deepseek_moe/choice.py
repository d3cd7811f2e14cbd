"""Stages of D2.3b: which experts a router chooses, and what slips choose instead."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from checks.d2_deepseek_moe.cases import (
    Biased,
    affinities,
    groups,
    is_clear,
    logits_of,
    slow_choice,
)
from checks.d2_deepseek_moe.routing import route, router_with_bias, scores_of
from checks.grading import expect
from checks.grading.result import Wrong

Chosen = list[set[int]]
TOKENS = 60  # so many that no two slips make the same choices
FAR_BELOW = -100_000.0  # the sum of the biases is free to drift


def biased_choices(answer: type, case: Biased) -> None:
    """With a random bias and one group, also far below 0: a common shift decides nothing."""
    case = replace(case, num_groups=1, top_groups=1)
    _expect_choice(answer, case, _choice_slips)
    _expect_choice(answer, case, _shift_slips, FAR_BELOW)


def biased_groups(answer: type, case: Biased) -> None:
    """With a random bias and the groups of the case, also far below 0."""
    if case.num_groups > 1:
        _expect_choice(answer, case, _group_slips)
        _expect_choice(answer, case, _shift_slips, FAR_BELOW)


def _expect_choice(answer: type, case: Biased, slips: Callable, shift: float = 0.0) -> None:
    """Float32 could not tell far shifted numbers apart: only float64 is shifted."""
    if shift and case.dtype != torch.float64:
        return
    case = replace(case, tokens=TOKENS) if case.tokens > 1 else case
    bias = case.bias().double() + shift
    router, x = router_with_bias(answer, case, bias), case.x()
    scores = scores_of(answer, router, x, case).double()
    got = [set(row) for row in route(router, x, case)[1].tolist()]
    by = scores + bias
    for t, (chosen, wanted) in enumerate(zip(got, slow_choice(by, case), strict=True)):
        if chosen != wanted and is_clear(by[t].tolist(), case.num_groups):
            ask = _best_question(got, by, case, slips(scores, bias, case))
            raise Wrong(
                f"token {t} has affinity + bias {_numbers(by[t], case)}, so it must choose "
                f"{sorted(wanted)}, and it chose {sorted(chosen)}. {ask}"
            )


def _best_question(got: Chosen, by: Tensor, case: Biased, slips: dict) -> str:
    """The question whose slip makes the same choices for every token, or a plain one."""
    clear = [is_clear(row, case.num_groups) for row in by.tolist()]
    asks = [
        ask
        for ask, slip in slips.items()
        if all(a == b for a, b, sure in zip(got, slip(), clear, strict=True) if sure)
    ]
    return expect.joined(asks) or "Which scores go to topk?"


def _choice_slips(scores: Tensor, bias: Tensor, case: Biased) -> dict[str, Callable[[], Chosen]]:
    by, shares = scores + bias, scores / scores.sum(-1, keepdim=True)
    return {
        "Do the experts themselves compete by affinity + bias, and not by the affinity alone?": (
            lambda: slow_choice(scores, case)
        ),
        "Is the bias added to the affinities, and not taken off?": lambda: slow_choice(
            scores - bias, case
        ),
        "Is the bias added after the affinity is taken, and not to the logits?": lambda: (
            slow_choice(affinities(logits_of(scores, case) + bias, case), case)
        ),
        "Is the bias added once?": lambda: slow_choice(by + bias, case),
        "Is the bias added to the affinities, and not a factor?": lambda: slow_choice(
            scores * (1 + bias), case
        ),
        "Are the affinities left as they are before the bias is added, and not divided by their "
        "sum?": lambda: slow_choice(shares + bias, case),
        "Are the affinities left as they are before the bias is added, and not scaled?": lambda: (
            slow_choice(case.scale * scores + bias, case)
        ),
        "Is the bias added as it is, and not cut off?": lambda: slow_choice(
            scores + bias.clamp(-0.1, 0.1), case
        ),
        "Are those the greatest, and not the least?": lambda: slow_choice(-by, case),
        "Does each token choose for itself?": lambda: slow_choice(by[:1].expand_as(by), case),
    }


def _group_slips(scores: Tensor, bias: Tensor, case: Biased) -> dict[str, Callable[[], Chosen]]:
    by, one_group = scores + bias, replace(case, num_groups=1, top_groups=1)
    fits = case.top_k <= case.num_experts // case.num_groups
    return {
        "Are groups asked for, and none kept?": lambda: slow_choice(by, one_group),
        "Do groups compete by affinity + bias too?": lambda: slow_choice(
            by, case, group_scores=scores
        ),
        "Do experts compete by affinity + bias within their groups too?": lambda: slow_choice(
            scores, case, group_scores=by
        ),
        "Is a group's score the sum of its two highest, and not its highest alone?": lambda: (
            slow_choice(by, case, max)
        ),
        "Is a group's score the sum of its two highest, and not of all?": lambda: slow_choice(
            by, case, sum
        ),
        "Are the experts of a group neighbours?": lambda: _strided_choice(by, case),
        "Are top_groups groups kept, and not the best one alone?": lambda: slow_choice(
            by, replace(case, top_groups=1) if fits else case
        ),
        "Are the other groups at -inf? A 0 beats every affinity + bias below it.": lambda: (
            _choice_with_zeros(by, case)
        ),
        "Is the bias added once, for groups and experts together?": lambda: slow_choice(
            by + bias, case, group_scores=by
        ),
    }


def _shift_slips(scores: Tensor, bias: Tensor, case: Biased) -> dict[str, Callable[[], Chosen]]:
    """For a router that is right as long as the bias is small."""
    by = scores + bias
    return {
        "Is the bias added as it is, and not cut off?": lambda: slow_choice(
            scores + bias.clamp(-1, 1), case
        ),
        "Are the other groups at -inf? Any other number beats an affinity + bias that is lower "
        "still.": lambda: _choice_with_zeros(by, case),
    }


def _strided_choice(by: Tensor, case: Biased) -> Chosen:
    """With every G-th expert in a group."""
    order = torch.arange(case.num_experts).reshape(-1, case.num_groups).T.flatten()
    return [{int(order[i]) for i in row} for row in slow_choice(by[:, order], case)]


def _choice_with_zeros(by: Tensor, case: Biased) -> Chosen:
    """With 0 outside the groups kept."""
    everything = replace(case, top_k=case.num_experts // case.num_groups * case.top_groups)
    kept = torch.zeros_like(by)
    for row, experts in zip(kept, slow_choice(by, everything), strict=True):
        row[list(experts)] = 1
    chosen = (by * kept).topk(case.top_k, dim=-1).indices  # as topk breaks the ties among zeros
    return [set(row) for row in chosen.tolist()]


def _numbers(row: Tensor, case: Biased) -> str:
    parts = groups([f"{value:.2f}" for value in row.tolist()], case.num_groups)
    return "[" + " | ".join(", ".join(part) for part in parts) + "]"
