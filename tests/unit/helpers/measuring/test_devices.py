"""Experts on devices, and what an uneven load makes of a step."""

import pytest
import torch

from helpers.measuring.devices import (
    Speed,
    dead_experts,
    device_load,
    slowdown,
    step_seconds,
    visits,
)

LOAD = torch.tensor([5, 3, 1, 1, 2, 0, 1, 1])
CHOICES = torch.tensor([[0, 1], [0, 7], [2, 3]])  # of 8 experts, on 4 devices: 0 0, 0 3, 1 1


def test_neighbours_share_a_device():
    assert device_load(LOAD, 4).tolist() == [8, 2, 2, 2]
    assert device_load(LOAD, 8).tolist() == LOAD.tolist()


def test_a_step_lasts_as_long_as_its_busiest_device():
    assert slowdown(LOAD, 4) == pytest.approx(8 / 3.5)
    assert slowdown(LOAD, 1) == 1.0


def test_an_even_load_costs_nothing_and_a_collapsed_one_all_devices():
    assert slowdown(torch.full((8,), 3), 8) == 1.0
    assert slowdown(torch.tensor([9, 0, 0, 0]), 4) == 4.0


def test_no_load_has_no_busiest_device():
    with pytest.raises(ValueError, match="at least one row"):
        slowdown(torch.zeros(4, dtype=torch.long), 2)


def test_a_token_visits_each_device_once():
    wanted = [[1, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    assert visits(CHOICES, 8, 4).int().tolist() == wanted


def test_devices_must_divide_the_experts():
    for wrong in (0, 3):
        with pytest.raises(ValueError, match="must divide the 8 experts"):
            visits(CHOICES, 8, wrong)


def test_seconds_are_rows_over_speed_and_visits_over_the_link():
    """D = 10, F = 5: a row costs 300 operations, a visit 2 · 10 · 2 bytes."""
    seconds = step_seconds(CHOICES, 8, 4, 10, 5, Speed(flops=300.0, link=40.0))
    assert seconds.tolist() == [[3.0, 2.0, 0.0, 1.0], [2.0, 1.0, 0.0, 1.0]]


def test_an_expert_is_dead_under_a_tenth_of_its_share():
    assert dead_experts(torch.tensor([0, 9, 11, 380])) == 2  # the even share is 100
    assert dead_experts(torch.tensor([100, 100])) == 0
