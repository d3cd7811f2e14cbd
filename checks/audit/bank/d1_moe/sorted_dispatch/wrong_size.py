"""Wrong answers to D1.I1 sorted_dispatch: many choices, many experts, gates below 0."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.sorted_dispatch.steps import run
from solutions.d1_moe import expert_load


def in_order(order, x, gates, experts, expert_array):
    """Dispatch and combination of the choices in an order."""
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def sorted_in_a_byte(x, gates, experts, expert_array):
    """The numbers sorted in int8, which ends at 127: rows go to other experts."""
    order = experts.flatten().to(torch.int8).argsort(stable=True)
    return in_order(order, x, gates, experts, expert_array)


@wrong
def keys_overlap(x, gates, experts, expert_array):
    """The key expert · 1000 + place, which is in order for up to 1000 choices."""
    order = (experts.flatten() * 1000 + torch.arange(experts.numel())).argsort()
    return in_order(order, x, gates, experts, expert_array)


@wrong
def counted_in_type_of_x(x, gates, experts, expert_array):
    """The runs' lengths in the dtype of x: bfloat16 is exact up to 256."""
    order = experts.flatten().argsort(stable=True)
    token = order // experts.shape[1]
    load = F.one_hot(experts.flatten(), len(expert_array)).to(x.dtype).sum(0).long()
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def positive_gates_only(x, gates, experts, expert_array):
    """Gates below 0 count as 0."""
    order = experts.flatten().argsort(stable=True)
    return in_order(order, x, gates.relu(), experts, expert_array)


@wrong
def sorted_slot_by_slot(x, gates, experts, expert_array):
    """The choices are sorted slot by slot, and read as if they came token by token."""
    flat = experts.T.flatten()
    order = flat.argsort(stable=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def gates_by_the_inverse(x, gates, experts, expert_array):
    """The gates are taken by the inverse of the order."""
    order = experts.flatten().argsort(stable=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    weighted = gates.flatten()[order.argsort(), None] * out
    return torch.zeros_like(x).index_add(0, token, weighted)
