"""Pieces that several answers to D1.O1 fast_dispatch are made of."""

import torch
from torch.nn import functional as F

NAMES = ("gate", "up", "down")


def stacked(expert_array):
    """The three weights of all experts, each in one tensor with E in front."""
    each = [expert_array[i] for i in range(len(expert_array))]
    return [torch.stack([getattr(expert, name).weight for expert in each]) for name in NAMES]


def of_tables(rows, gate, up, down):
    """What experts make of a table of rows each: `(E, C, D)` to `(E, C, D)`."""
    return (F.silu(rows @ gate.mT) * (rows @ up.mT)) @ down.mT


def by_run(experts, num_experts):
    """The sorted choices' order, expert, place within the expert's run, and the loads."""
    flat, order = experts.flatten().sort(stable=True)
    load = torch.bincount(flat, minlength=num_experts)
    return order, flat, torch.arange(len(flat)) - (load.cumsum(0) - load)[flat], load


def padded(x, gates, experts, expert_array, *, room=None, weights=None):
    """The reference's way, with `room` rows for each expert in place of the longest run's."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token = order // experts.shape[1]
    rows = x.new_zeros(len(load), int(load.max()) if room is None else room, x.shape[1])
    rows[flat, place] = x[token]
    out = of_tables(rows, *(stacked(expert_array) if weights is None else weights))
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out[flat, place])
