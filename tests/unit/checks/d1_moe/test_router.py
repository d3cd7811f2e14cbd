"""What D1.1 asks about a wrong router, by what its gates and choices show."""

import re

import pytest
import torch

from checks import CHECKS
from checks.audit.known_mistakes import known_mistakes
from checks.d1_moe.router_slips import why_not_alone, why_other_sum
from checks.grading.result import CheckFailed

PROBS = torch.tensor([[0.5, 0.3], [0.4, 0.2]])
SUMS = PROBS.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("gates", "asked"),
    [
        (PROBS, "Those are the probabilities as they are"),
        (PROBS * SUMS, "and not multiplied by it"),
        (PROBS / PROBS, "Every gate is 1: is each divided by itself"),
        (PROBS / PROBS[:, :1], "divided by the largest of them"),
        (PROBS / (SUMS + 1e-3), "Is a constant added to the sum"),
        (6 * PROBS, "does a softmax make them"),
        (-PROBS, "does a softmax make them"),
        (PROBS**2, "is nothing done to them after that"),
    ],
)
def test_gates_that_do_not_sum_to_one_are_asked_about_by_their_size(gates, asked):
    assert asked in why_other_sum(gates, PROBS)


def test_tokens_that_all_choose_alike_are_asked_about():
    alike, unlike = torch.tensor([[0, 2], [2, 0]]), torch.tensor([[0, 2], [1, 0]])
    assert "All tokens together chose [0, 2]" in why_not_alone(alike, 4)
    for experts, num_experts in ((unlike, 4), (alike, 2), (alike[:1], 4)):
        assert "depend on the other tokens" in why_not_alone(experts, num_experts)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("DividedByTotal", r"is 0\.\d+ among the others and 0\.\d+ when it comes alone"),
        ("FirstTokenDecides", r"in one order of the tokens .* All tokens together chose"),
        ("CutOffLogits", r"must choose expert \d, of probability .* Is a logit cut off"),
        ("ByEqualValues", r"a token of zeros at the end: .* Is an expert looked up by its prob"),
        ("BestTwiceInEvaluation", r"one expert in every slot: is its first choice repeated\?"),
        ("AtTheThreshold", r"invalid for input.* That is with a token of zeros at the end\."),
        ("ReadsFloat32", r"to have the same dtype.* That is in bfloat16\."),
    ],
)
def test_a_known_mistake_is_told_with_what_it_does(mistake, told):
    with pytest.raises(CheckFailed) as refused:
        CHECKS["D1.1"](known_mistakes("D1.1")[mistake], seed=20261301)
    assert re.search(told, str(refused.value))
