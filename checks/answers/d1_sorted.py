"""D1.I1 sorted_dispatch, answered rightly and wrongly."""

from itertools import pairwise

import numpy as np
import torch

from checks.answers.bank import Bank
from solutions.d1_moe import dispatch_combine, expert_load, sorted_dispatch

bank = Bank("d1_moe")


def run(rows, load, expert_array):
    """Rows that are sorted by expert, through their experts."""
    runs = rows.split(load.tolist())
    return torch.cat([expert_array[i](run) for i, run in enumerate(runs) if len(run)])


def by_expert(experts, expert_array):
    """The order that sorts the choices, and the load that cuts them into runs."""
    return experts.flatten().argsort(stable=True), expert_load(experts, len(expert_array))


@bank.right("D1.I1")
def put_back_and_summed(x, gates, experts, expert_array):
    """The outputs put back in the order of the choices, then summed over the slots."""
    order = experts.flatten().argsort()
    load = torch.bincount(experts.flatten(), minlength=len(expert_array))
    out = run(x[order // experts.shape[1]], load, expert_array)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return (gates[..., None] * out[back].unflatten(0, experts.shape)).sum(dim=1)


@bank.right("D1.I1")
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


@bank.right("D1.I1")
def by_searchsorted(x, gates, experts, expert_array):
    """Run bounds by searchsorted; experts without a row are called with none."""
    flat, order = torch.sort(experts.reshape(-1), stable=True)
    bounds = torch.searchsorted(flat, torch.arange(len(expert_array) + 1)).tolist()
    token = torch.div(order, experts.size(1), rounding_mode="floor")
    parts = [expert_array[i](x[token[a:b]]) for i, (a, b) in enumerate(pairwise(bounds))]
    weighted = torch.einsum("n,nd->nd", gates.reshape(-1)[order], torch.cat(parts))
    index = token.view(-1, 1).expand_as(weighted)
    return torch.zeros_like(x).scatter_add(0, index, weighted)


@bank.right("D1.I1")
def by_unique_runs(x, gates, experts, expert_array):
    """unique_consecutive names each run and its length."""
    order = torch.argsort(experts.flatten(), stable=True)
    numbers, lengths = experts.flatten()[order].unique_consecutive(return_counts=True)
    token, slot = order // experts.shape[1], order % experts.shape[1]
    runs = x.index_select(0, token).split(lengths.tolist())
    out = torch.cat([expert_array[i](rows) for i, rows in zip(numbers.tolist(), runs, strict=True)])
    return torch.zeros_like(x).index_add_(0, token, gates[token, slot].unsqueeze(1) * out)


@bank.right("D1.I1")
def order_by_numpy(x, gates, experts, expert_array):
    """The order from NumPy's argsort, with the last slots of an expert first."""
    flat = experts.numpy().ravel()
    order = torch.from_numpy(np.argsort(flat[::-1], kind="stable").copy())
    order = len(flat) - 1 - order
    out = run(x[order // experts.shape[1]], expert_load(experts, len(expert_array)), expert_array)
    weighted = gates.reshape(-1, 1)[order] * out
    return weighted[order.argsort()].view(*experts.shape, -1).sum(1)


@bank.right("D1.I1")
def slot_major(x, gates, experts, expert_array):
    """Choices numbered slot by slot: there the token is the remainder by T."""
    order = experts.T.flatten().argsort(stable=True)
    token = order % len(x)
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.T.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def never_put_back(x, gates, experts, expert_array):
    """The sorted rows are summed as if they were in the tokens' order."""
    order, load = by_expert(experts, expert_array)
    out = run(x[order // experts.shape[1]], load, expert_array)
    return (gates.flatten()[order, None] * out).view(*experts.shape, -1).sum(dim=1)


@bank.wrong("D1.I1")
def order_as_its_inverse(x, gates, experts, expert_array):
    """`out[order]` to put back, where the inverse of order belongs."""
    order, load = by_expert(experts, expert_array)
    out = run(x[order // experts.shape[1]], load, expert_array)
    return (gates[..., None] * out[order].view(*experts.shape, -1)).sum(dim=1)


@bank.wrong("D1.I1")
def gates_not_sorted(x, gates, experts, expert_array):
    """The gates stay in the tokens' order while the rows are sorted."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    weighted = gates.flatten()[:, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def gates_sorted_by_size(x, gates, experts, expert_array):
    """The gates are sorted too, by their own size."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    weighted = gates.flatten().sort().values[:, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def ties_in_two_orders(x, gates, experts, expert_array):
    """Rows and gates from two sorts that break ties differently."""
    order, load = by_expert(experts, expert_array)
    backwards = experts.numel() - 1 - experts.flatten().flip(0).argsort(stable=True)
    token = order // experts.shape[1]
    weighted = gates.flatten()[backwards, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def remainder_by_slots(x, gates, experts, expert_array):
    """`order % K` for the token, where `order // K` belongs."""
    order, load = by_expert(experts, expert_array)
    token = order % experts.shape[1]
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def remainder_by_tokens(x, gates, experts, expert_array):
    """`order % T` for the token: as if the choices were numbered slot by slot."""
    order, load = by_expert(experts, expert_array)
    token = order % len(x)
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def choice_for_token(x, gates, experts, expert_array):
    """`x[order]` without `// K`: right for K = 1 only."""
    order, load = by_expert(experts, expert_array)
    weighted = gates.flatten()[order, None] * run(x[order], load, expert_array)
    return torch.zeros_like(x).index_add(0, order, weighted)


@bank.wrong("D1.I1")
def halved_tokens(x, gates, experts, expert_array):
    """`order // 2`, whatever K is."""
    order, load = by_expert(experts, expert_array)
    token = order // 2
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def assigned(x, gates, experts, expert_array):
    """`y[token] = …`: one of a token's experts survives."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    y = torch.zeros_like(x)
    y[token] = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return y


@bank.wrong("D1.I1")
def added_once(x, gates, experts, expert_array):
    """`y[token] += …`, which adds once where a token repeats."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    y = torch.zeros_like(x)
    y[token] += gates.flatten()[order, None] * run(x[token], load, expert_array)
    return y


@bank.wrong("D1.I1")
def last_expert_dropped(x, gates, experts, expert_array):
    """Runs are cut at `cumsum[:-1]` and the last one is forgotten."""
    order, _ = by_expert(experts, expert_array)
    kept = order[experts.flatten()[order] < len(expert_array) - 1]
    token, y = kept // experts.shape[1], torch.zeros_like(x)
    if not len(kept):
        return y
    load = torch.bincount(experts.flatten()[kept])
    return y.index_add(0, token, gates.flatten()[kept, None] * run(x[token], load, expert_array))


@bank.wrong("D1.I1")
def starts_for_ends(x, gates, experts, expert_array):
    """A run starts where it should end, so expert i takes the run of expert i + 1."""
    order, load = by_expert(experts, expert_array)
    token, ends = order // experts.shape[1], [*load.cumsum(0).tolist(), experts.numel()]
    out = torch.zeros(len(token), x.shape[1], dtype=x.dtype)
    for i, (start, end) in enumerate(pairwise(ends)):
        out[start:end] = expert_array[i](x[token[start:end]])
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def runs_without_numbers(x, gates, experts, expert_array):
    """Runs are counted from 0: the wrong experts as soon as one is empty."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    out = run(x[token], load[load > 0], expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def even_runs(x, gates, experts, expert_array):
    """Sorted rows cut into runs of equal length."""
    order, _ = by_expert(experts, expert_array)
    token, y = order // experts.shape[1], torch.zeros_like(x)
    runs = x[token].tensor_split(len(expert_array))
    out = torch.cat([expert_array[i](rows) for i, rows in enumerate(runs)])
    return y.index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def one_call_a_row(x, gates, experts, expert_array):
    """Sorted, and then an expert is called once for each row."""
    order, _ = by_expert(experts, expert_array)
    token, flat = order // experts.shape[1], experts.flatten()[order].tolist()
    out = torch.cat(
        [expert_array[i](x[t : t + 1]) for i, t in zip(flat, token.tolist(), strict=True)]
    )
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def one_sort_a_slot(x, gates, experts, expert_array):
    """A sort for each slot: up to K calls an expert."""
    slots = range(experts.shape[1])
    cut = (slice(k, k + 1) for k in slots)
    return sum(sorted_dispatch(x, gates[:, k], experts[:, k], expert_array) for k in cut)


@bank.wrong("D1.I1")
def sorted_within_tokens(x, gates, experts, expert_array):
    """Each token's choices are sorted, not all choices."""
    order = experts.argsort(dim=-1).flatten()
    token = torch.arange(len(x)).repeat_interleave(experts.shape[1])
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def sorted_by_gate(x, gates, experts, expert_array):
    """Sorted by gate, cut by load."""
    order = gates.flatten().argsort(descending=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def busiest_runs_first(x, gates, experts, expert_array):
    """Rows sorted downwards, runs cut upwards."""
    order = experts.flatten().argsort(descending=True, stable=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@bank.wrong("D1.I1")
def all_experts_on_all_rows(x, gates, experts, expert_array):
    """Every expert runs on every sorted row and keeps its own: right value, E times the work."""
    order, load = by_expert(experts, expert_array)
    token, ends = order // experts.shape[1], load.cumsum(0)
    parts = [
        expert_array[i](x[token])[e - n : e]
        for i, (e, n) in enumerate(zip(ends, load, strict=True))
    ]
    weighted = gates.flatten()[order, None] * torch.cat(parts)
    return torch.zeros_like(x).index_add(0, token, weighted)


@bank.wrong("D1.I1")
def without_gates(x, gates, experts, expert_array):
    """Every choice counts 1."""
    return sorted_dispatch(x, torch.ones_like(gates), experts, expert_array)


@bank.wrong("D1.I1")
def gate_before_expert(x, gates, experts, expert_array):
    """The gate scales the rows that go in."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    out = run(gates.flatten()[order, None] * x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, out)


@bank.wrong("D1.I1")
def detached_rows(x, gates, experts, expert_array):
    """The gathered rows are detached: x hears nothing from the experts."""
    return sorted_dispatch(x.detach(), gates, experts, expert_array)


@bank.wrong("D1.I1")
def sorts_gates_in_place(x, gates, experts, expert_array):
    """Right value, and the caller's gates come back sorted by expert."""
    y = sorted_dispatch(x, gates.clone(), experts, expert_array)
    order, _ = by_expert(experts, expert_array)
    gates.data.copy_(gates.data.flatten()[order].view(gates.shape))
    return y


@bank.wrong("D1.I1")
def float32_buffer(x, gates, experts, expert_array):
    """A float32 buffer for the outputs, whatever x is."""
    return dispatch_combine(x.float(), gates.float(), experts, _InFloat32(expert_array))


class _InFloat32(torch.nn.Module):
    """An expert array whose outputs are float32."""

    def __init__(self, expert_array):
        super().__init__()
        self.experts = expert_array

    def __len__(self):
        return len(self.experts)

    def __getitem__(self, i):
        dtype = next(self.experts.parameters()).dtype
        return lambda x: self.experts[i](x.to(dtype)).float()
