"""What D1.3 asks about a wrong combination of one choice per token, and about a lost axis."""

import pytest
import torch

from checks.d1_moe.cases import CountingExperts, Routing, slow_combination
from checks.d1_moe.dispatch_slips import (
    axis_squeezed,
    combination_slips,
    one_choice_slips,
    whose_row,
)
from checks.grading import expect
from checks.grading.result import Asked

CASE = Routing(12, 8, 4, 1, 9, seed=3)
X, (_, EXPERTS), ARRAY = CASE.x(), CASE.routing(), CountingExperts(CASE)
ONES = torch.ones(CASE.tokens, 1, dtype=CASE.dtype)
WANT = slow_combination(X, ONES, EXPERTS, ARRAY).detach()


def _of_not_chosen():
    y = torch.zeros_like(X)
    for i in EXPERTS.unique().tolist():
        token, _ = (EXPERTS - i).nonzero(as_tuple=True)
        y = y.index_add(0, token, ARRAY[i](X[token]).detach())
    return y


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        (_of_not_chosen(), "the tokens that chose it, and not all the others?"),
        (1 / WANT, "and not divided by it?"),
        (WANT + X, "Is x added to y?"),
    ],
)
def test_one_choice_is_asked_about_by_what_it_became(got, asked):
    slips = one_choice_slips(WANT, X, EXPERTS, ARRAY)
    asks = [ask for ask, made in slips.items() if expect.near(got, made())]
    assert len(asks) == 1 and asked in asks[0]


def test_a_y_of_zeros_is_told_before_an_expert_left_out():
    assert "All of y is 0" in whose_row(torch.zeros_like(WANT), WANT, X, EXPERTS, ARRAY)


def test_another_experts_output_is_told_with_the_token_that_got_it():
    one = int(EXPERTS[5, 0])
    got = WANT.clone()
    got[5] = ARRAY[one - 1](X[5]).detach()
    said = whose_row(got, WANT, X, EXPERTS, ARRAY)
    assert said.startswith(f"Token 5 chose expert {one} and got expert {one - 1}'s output")


def test_with_two_choices_another_slots_gate_is_asked_about_once():
    two = Routing(12, 8, 4, 2, 9, seed=3)
    asks = combination_slips(two.x(), *two.routing(), ARRAY)
    assert [ask for ask in asks if "another slot's" in ask] == [
        "Does each row take its own choice's gate, and not another slot's?"
    ]


@pytest.mark.parametrize(
    ("shape", "asks"), [((1, 3), Asked), ((5, 1), Asked), ((5, 3), ValueError)]
)
def test_a_dimension_that_is_missing_is_asked_about_where_a_size_is_one(shape, asks):
    with pytest.raises(asks), axis_squeezed(torch.zeros(shape)):
        _, _ = [0]
