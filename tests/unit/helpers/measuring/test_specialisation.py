"""A spread tells experts that keep to a group from experts that do not, and from chance."""

import torch

from helpers.measuring.specialisation import (
    commonest_tokens,
    in_every_group,
    shuffled,
    spread_between,
)

GROUPS = torch.arange(3).repeat_interleave(400)


def test_experts_that_keep_to_a_group_have_the_widest_spread():
    experts = torch.stack([GROUPS, GROUPS + 1], dim=1)
    assert spread_between(experts, GROUPS, 4) == 2.0


def test_experts_that_know_no_groups_have_none():
    experts = torch.tensor([[0, 1], [2, 3]]).repeat(600, 1)
    assert spread_between(experts, GROUPS, 4) == 0.0


def test_shuffled_groups_are_the_same_groups_and_no_longer_the_experts():
    mixed = shuffled(GROUPS)
    assert torch.equal(mixed.bincount(), GROUPS.bincount())
    assert not torch.equal(mixed, GROUPS)
    experts = torch.stack([GROUPS, GROUPS + 1], dim=1)
    assert 0 < spread_between(experts, mixed, 4) < 0.5


def test_tokens_of_every_group():
    tokens = torch.tensor([5, 6, 5, 7, 5, 6])
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    assert in_every_group(tokens, groups).tolist() == [True, False, True, False, True, False]


def test_the_commonest_tokens_of_each_expert_are_those_it_takes_most_of():
    tokens = torch.tensor([5, 5, 5, 7, 7, 9, 9, 9, 9])
    experts = torch.tensor([0, 0, 1, 0, 0, 1, 1, 1, 0])
    assert commonest_tokens(tokens, experts, 3) == [[5, 7], [9], []]
    assert commonest_tokens(tokens, experts, 2, count=1) == [[5], [9]]
