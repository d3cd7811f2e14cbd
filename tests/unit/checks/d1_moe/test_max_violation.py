"""Refusals of `max_violation` ask about slips that make more than one load's number."""

from solutions.d1_moe import max_violation
from tests.unit.checks.d1_moe.refusals import refusal


def test_a_number_cut_off_is_told_from_others_that_are_1_too():
    said = refusal("D1.4c", lambda load: min(max_violation(load), 1.0))
    assert said.endswith("Is it cut off at 1? A busy expert takes it far above.")


def test_a_division_by_zero_is_called_one():
    def max_violation(load):
        return max(load.tolist()) / (sum(load.tolist()) / len(load)) - 1

    assert "must be 0.0, and your code divides zero by zero" in refusal("D1.4c", max_violation)
