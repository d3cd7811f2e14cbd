"""Right answers to D1.I1 sorted_dispatch."""

from itertools import pairwise

import numpy as np
import torch

from checks.audit.answers import right
from checks.audit.bank.d1_moe.sorted_dispatch.steps import run
from solutions.d1_moe import expert_load

EQUIVALENT_MUTANTS = {
    (
        "order = experts.flatten().argsort(stable=True) → order = experts.flatten().argsort()"
    ): "the order of rows inside one expert's run changes no sum",
}


@right
def put_back_and_summed(x, gates, experts, expert_array):
    """The outputs put back in the order of the choices, then summed over the slots."""
    order = experts.flatten().argsort()
    load = torch.bincount(experts.flatten(), minlength=len(expert_array))
    out = run(x[order // experts.shape[1]], load, expert_array)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return (gates[..., None] * out[back].unflatten(0, experts.shape)).sum(dim=1)


@right
def running_ends(x, gates, experts, expert_array):
    """Slices between cumulative loads, written into one buffer."""
    flat, order = experts.flatten().sort()
    token = torch.arange(len(x)).repeat_interleave(experts.shape[1])[order]
    ends = torch.bincount(flat).cumsum(0).tolist()
    rows, out = x[token], x.new_zeros(len(token), x.shape[1])
    for i, (start, end) in enumerate(pairwise([0, *ends])):
        if start < end:
            out[start:end] = expert_array[i](rows[start:end])
    return torch.zeros_like(x).index_put((token,), gates.take(order)[:, None] * out, True)


@right
def by_searchsorted(x, gates, experts, expert_array):
    """Run bounds by searchsorted; experts without a row are called with none."""
    flat, order = torch.sort(experts.reshape(-1), stable=True)
    bounds = torch.searchsorted(flat, torch.arange(len(expert_array) + 1)).tolist()
    token = torch.div(order, experts.size(1), rounding_mode="floor")
    parts = [expert_array[i](x[token[a:b]]) for i, (a, b) in enumerate(pairwise(bounds))]
    weighted = torch.einsum("n,nd->nd", gates.reshape(-1)[order], torch.cat(parts))
    index = token.view(-1, 1).expand_as(weighted)
    return torch.zeros_like(x).scatter_add(0, index, weighted)


@right
def by_unique_runs(x, gates, experts, expert_array):
    """unique_consecutive names each run and its length."""
    order = torch.argsort(experts.flatten(), stable=True)
    numbers, lengths = experts.flatten()[order].unique_consecutive(return_counts=True)
    token, slot = order // experts.shape[1], order % experts.shape[1]
    runs = x.index_select(0, token).split(lengths.tolist())
    out = torch.cat([expert_array[i](rows) for i, rows in zip(numbers.tolist(), runs, strict=True)])
    return torch.zeros_like(x).index_add_(0, token, gates[token, slot].unsqueeze(1) * out)


@right
def order_by_numpy(x, gates, experts, expert_array):
    """The order from NumPy's argsort, with the last slots of an expert first."""
    flat = experts.numpy().ravel()
    order = torch.from_numpy(np.argsort(flat[::-1], kind="stable").copy())
    order = len(flat) - 1 - order
    out = run(x[order // experts.shape[1]], expert_load(experts, len(expert_array)), expert_array)
    weighted = gates.reshape(-1, 1)[order] * out
    return weighted[order.argsort()].view(*experts.shape, -1).sum(1)


@right
def slot_major(x, gates, experts, expert_array):
    """Choices numbered slot by slot: there the token is the remainder by T."""
    order = experts.T.flatten().argsort(stable=True)
    token = order % len(x)
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.T.flatten()[order, None] * out)
