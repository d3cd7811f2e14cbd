"""Refusals of `dropped_share` ask about a slip whose shares came for every factor, or count."""

import pytest

from solutions.d1_moe import dropped_share, expert_load
from tests.unit.checks.d1_moe.refusals import refusal


def with_capacity(capacity):
    """`dropped_share` with another capacity of T·K, E and the factor."""

    def dropped_share(experts, num_experts, capacity_factor):
        rows = capacity(experts.numel(), num_experts, capacity_factor)
        over = expert_load(experts, num_experts) - rows
        return float(over.clamp(min=0).sum() / experts.numel())

    return dropped_share


@pytest.mark.parametrize(
    ("capacity", "asked"),
    [
        (lambda choices, experts, factor: int(factor / choices), "Does the capacity grow with"),
        (lambda choices, experts, factor: choices // experts, "Does capacity_factor reach the"),
        (lambda choices, experts, factor: max(4, int(factor * choices / experts)), "It is 4"),
        (lambda choices, experts, factor: factor * choices / experts, "down to whole rows?"),
    ],
)
def test_another_capacity_is_told_by_its_shares(capacity, asked):
    said = refusal("D1.I2", with_capacity(capacity))
    assert asked in said and "Or:" not in said


def test_no_share_at_all_has_two_causes():
    said = refusal("D1.I2", with_capacity(lambda choices, experts, factor: choices))
    assert "Is your capacity" in said and "Or is the share cut" in said


def test_a_share_that_no_slip_explains_is_counted_out():
    said = refusal("D1.I2", lambda *of: dropped_share(*of) ** 3)
    assert "find no room: which step of yours gives another number?" in said


def test_rows_of_an_expert_too_full_are_asked_for_by_themselves():
    def dropped_share(experts, num_experts, capacity_factor):
        load = expert_load(experts, num_experts)
        over = load > int(capacity_factor * experts.numel() / num_experts)
        return float(load[over].sum() / load.sum())

    said = refusal("D1.I2", dropped_share)
    assert said.endswith(
        "Does an expert that is too full still take its first `capacity` rows? Only those beyond "
        "them are dropped."
    )


def test_numbers_that_begin_again_are_told_where_experts_are_many():
    said = refusal("D1.I2", lambda experts, *of: dropped_share(experts % 256, *of))
    assert "a type of few bits" in said
