"""What D2.I2 asks about a wrong number of experts."""

import pytest

from checks.audit.known_mistakes import known_mistakes
from checks.d2_deepseek_moe.border import check_most_experts
from checks.grading.result import CheckFailed


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("two_choices", "It is right for K = 2: is it the top_k that is handed over"),
        ("a_tenth", "It is right for a limit of 0.1: is it the one that is handed over"),
        ("e_for_k", "Is the divisor K · T, and not E · T"),
        ("one_too_few", "Does a search go back one step too many at its end"),
        ("first_that_fails", "and not the first beyond it"),
        ("power_of_two", "not powers of two alone"),
        ("whole_float", r"must be an int, got the float \d+\.0"),
    ],
)
def test_a_number_is_asked_about_by_the_slip_that_makes_it(mistake, said):
    with pytest.raises(CheckFailed, match=said):
        check_most_experts(known_mistakes("D2.I2")[mistake], seed=0)
