"""Right and wrong answers to D1.I2 dropped_share."""

import math
from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from checks.audit.answers import right, wrong
from solutions.d1_moe import dropped_share, expert_load


def room(experts, num_experts, capacity_factor):
    """How many rows an expert takes."""
    return int(capacity_factor * experts.numel() / num_experts)


@right
def one_choice_at_a_time(experts, num_experts, capacity_factor):
    """A loop that fills the experts in order of arrival."""
    capacity = math.floor(capacity_factor * experts.numel() / num_experts)
    taken, dropped = Counter(), 0
    for i in experts.flatten().tolist():
        dropped += taken[i] >= capacity
        taken[i] += 1
    return dropped / experts.numel()


@right
def by_position(experts, num_experts, capacity_factor):
    """A cumulative sum of one-hot vectors gives each choice its place, as in Switch's code."""
    capacity = capacity_factor * experts.numel() // num_experts
    mask = F.one_hot(experts.flatten(), num_experts)
    place = (mask.cumsum(0) * mask).sum(-1)
    return (place > capacity).double().mean()


@right
def one_less_kept(experts, num_experts, capacity_factor):
    """One less the share that is kept."""
    load = torch.bincount(experts.flatten(), minlength=num_experts)
    capacity = math.floor(capacity_factor * experts.numel() / num_experts)
    return 1 - load.clamp(max=capacity).sum().item() / load.sum().item()


@right
def counted_in_numpy(experts, num_experts, capacity_factor):
    """NumPy, with experts nobody chose left out: they drop nothing."""
    load = np.unique(experts.numpy(), return_counts=True)[1]
    capacity = int(experts.numel() * capacity_factor / num_experts)
    return float(np.maximum(load - capacity, 0).sum() / load.sum())


@right
def summed_in_python(experts, num_experts, capacity_factor):
    """A sum over the experts that are full."""
    capacity = math.floor(capacity_factor * experts.numel() / num_experts)
    loads = [int((experts == i).sum()) for i in range(num_experts)]
    return sum(load - capacity for load in loads if load > capacity) / sum(loads)


@right
def even_share_first(experts, num_experts, capacity_factor):
    """The even share as a float first, times the factor, rounded down at the end."""
    even = experts.numel() / num_experts
    over = F.relu(expert_load(experts, num_experts) - math.floor(even * capacity_factor))
    return float(over.sum()) / experts.numel()


@wrong
def rounded_up(experts, num_experts, capacity_factor):
    """Capacity rounded up."""
    capacity = math.ceil(capacity_factor * experts.numel() / num_experts)
    over = expert_load(experts, num_experts) - capacity
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def rounded_to_nearest(experts, num_experts, capacity_factor):
    """Capacity rounded to the nearest whole number."""
    capacity = round(capacity_factor * experts.numel() / num_experts)
    over = expert_load(experts, num_experts) - capacity
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def not_rounded(experts, num_experts, capacity_factor):
    """Capacity as a fraction of a row."""
    over = expert_load(experts, num_experts) - capacity_factor * experts.numel() / num_experts
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def rounded_too_early(experts, num_experts, capacity_factor):
    """The even share rounded down before the factor."""
    capacity = int(capacity_factor * (experts.numel() // num_experts))
    over = expert_load(experts, num_experts) - capacity
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def capacity_of_tokens(experts, num_experts, capacity_factor):
    """Capacity from T tokens, not T·K choices: Switch has K = 1."""
    capacity = int(capacity_factor * len(experts) / num_experts)
    over = expert_load(experts, num_experts) - capacity
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def share_of_tokens(experts, num_experts, capacity_factor):
    """Dropped choices divided by the number of tokens."""
    return dropped_share(experts, num_experts, capacity_factor) * experts.shape[1]


@wrong
def share_of_experts(experts, num_experts, capacity_factor):
    """The share of experts that overflow."""
    load = expert_load(experts, num_experts)
    return float((load > room(experts, num_experts, capacity_factor)).double().mean())


@wrong
def share_of_overfull(experts, num_experts, capacity_factor):
    """All rows of an overfull expert count as dropped."""
    load = expert_load(experts, num_experts)
    over = load > room(experts, num_experts, capacity_factor)
    return float(load[over].sum() / load.sum())


@wrong
def share_kept(experts, num_experts, capacity_factor):
    """The share that finds room."""
    return 1 - dropped_share(experts, num_experts, capacity_factor)


@wrong
def not_clamped(experts, num_experts, capacity_factor):
    """Free places count against dropped rows."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return float(over.sum() / experts.numel())


@wrong
def clamped_at_the_end(experts, num_experts, capacity_factor):
    """Free places count against dropped rows, and only the total is kept from below zero."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return float(over.sum().clamp(min=0) / experts.numel())


@wrong
def empty_places_too(experts, num_experts, capacity_factor):
    """The absolute difference: empty places count as dropped."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return float(over.abs().sum() / experts.numel())


@wrong
def a_count(experts, num_experts, capacity_factor):
    """How many choices are dropped, not which share."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return float(over.clamp(min=0).sum())


@wrong
def whole_division(experts, num_experts, capacity_factor):
    """`//` for the share: always 0 or 1."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return float(over.clamp(min=0).sum() // experts.numel())


@wrong
def busiest_only(experts, num_experts, capacity_factor):
    """Only the busiest expert's overflow."""
    over = expert_load(experts, num_experts).max() - room(experts, num_experts, capacity_factor)
    return float(over.clamp(min=0) / experts.numel())


@wrong
def full_one_row_early(experts, num_experts, capacity_factor):
    """An expert is full one row too early: `>=` for `>`."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor) + 1
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def four_experts(experts, num_experts, capacity_factor):
    """An even share of four experts, whatever num_experts says."""
    over = expert_load(experts, num_experts) - room(experts, 4, capacity_factor)
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def chosen_experts_only(experts, num_experts, capacity_factor):
    """The even share among the experts that were chosen."""
    numbers, renamed = experts.unique(return_inverse=True)
    return dropped_share(renamed, len(numbers), capacity_factor)


@wrong
def factor_forgotten(experts, num_experts, capacity_factor):
    """The capacity factor is never used."""
    return dropped_share(experts, num_experts, 1.0)


@wrong
def first_choices_only(experts, num_experts, capacity_factor):
    """Slot 0 only."""
    return dropped_share(experts[:, :1], num_experts, capacity_factor)


@wrong
def slot_for_slot(experts, num_experts, capacity_factor):
    """A capacity for each slot on its own, averaged."""
    slots = [dropped_share(slot, num_experts, capacity_factor) for slot in experts.split(1, dim=1)]
    return sum(slots) / len(slots)


@wrong
def four_rows_at_least(experts, num_experts, capacity_factor):
    """An expert takes four rows even where its capacity is less."""
    over = expert_load(experts, num_experts) - max(4, room(experts, num_experts, capacity_factor))
    return float(over.clamp(min=0).sum() / experts.numel())


@wrong
def in_percent(experts, num_experts, capacity_factor):
    """In percent."""
    return 100 * dropped_share(experts, num_experts, capacity_factor)


@wrong
def one_share_an_expert(experts, num_experts, capacity_factor):
    """One number an expert."""
    over = expert_load(experts, num_experts) - room(experts, num_experts, capacity_factor)
    return over.clamp(min=0) / experts.numel()


@wrong
def numbered_in_a_byte(experts, num_experts, capacity_factor):
    """The experts' numbers in uint8, which begins again at 256."""
    return dropped_share(experts.to(torch.uint8).long(), num_experts, capacity_factor)


@wrong
def factor_rounded_first(experts, num_experts, capacity_factor):
    """capacity_factor is made whole before it is multiplied."""
    capacity = int(capacity_factor) * experts.numel() // num_experts
    load = expert_load(experts, num_experts)
    return float((load - capacity).clamp(min=0).sum() / experts.numel())
