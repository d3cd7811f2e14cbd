"""Wrong answers to D1.I1 sorted_dispatch."""

from itertools import pairwise

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.sorted_dispatch.steps import run
from solutions.d1_moe import dispatch_combine, expert_load, sorted_dispatch


def by_expert(experts, expert_array):
    """The order that sorts the choices, and the load that cuts them into runs."""
    return experts.flatten().argsort(stable=True), expert_load(experts, len(expert_array))


@wrong
def never_put_back(x, gates, experts, expert_array):
    """The sorted rows are summed as if they were in the tokens' order."""
    order, load = by_expert(experts, expert_array)
    out = run(x[order // experts.shape[1]], load, expert_array)
    return (gates.flatten()[order, None] * out).view(*experts.shape, -1).sum(dim=1)


@wrong
def order_as_its_inverse(x, gates, experts, expert_array):
    """`out[order]` to put back, where the inverse of order belongs."""
    order, load = by_expert(experts, expert_array)
    out = run(x[order // experts.shape[1]], load, expert_array)
    return (gates[..., None] * out[order].view(*experts.shape, -1)).sum(dim=1)


@wrong
def gates_not_sorted(x, gates, experts, expert_array):
    """The gates stay in the tokens' order while the rows are sorted."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    weighted = gates.flatten()[:, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def gates_sorted_by_size(x, gates, experts, expert_array):
    """The gates are sorted too, by their own size."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    weighted = gates.flatten().sort().values[:, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def ties_in_two_orders(x, gates, experts, expert_array):
    """Rows and gates from two sorts that break ties differently."""
    order, load = by_expert(experts, expert_array)
    backwards = experts.numel() - 1 - experts.flatten().flip(0).argsort(stable=True)
    token = order // experts.shape[1]
    weighted = gates.flatten()[backwards, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def remainder_by_slots(x, gates, experts, expert_array):
    """`order % K` for the token, where `order // K` belongs."""
    order, load = by_expert(experts, expert_array)
    token = order % experts.shape[1]
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def remainder_by_tokens(x, gates, experts, expert_array):
    """`order % T` for the token: as if the choices were numbered slot by slot."""
    order, load = by_expert(experts, expert_array)
    token = order % len(x)
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def choice_for_token(x, gates, experts, expert_array):
    """`x[order]` without `// K`: right for K = 1 only."""
    order, load = by_expert(experts, expert_array)
    weighted = gates.flatten()[order, None] * run(x[order], load, expert_array)
    return torch.zeros_like(x).index_add(0, order, weighted)


@wrong
def halved_tokens(x, gates, experts, expert_array):
    """`order // 2`, whatever K is."""
    order, load = by_expert(experts, expert_array)
    token = order // 2
    weighted = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def assigned(x, gates, experts, expert_array):
    """`y[token] = …`: one of a token's experts survives."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    y = torch.zeros_like(x)
    y[token] = gates.flatten()[order, None] * run(x[token], load, expert_array)
    return y


@wrong
def added_once(x, gates, experts, expert_array):
    """`y[token] += …`, which adds once where a token repeats."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    y = torch.zeros_like(x)
    y[token] += gates.flatten()[order, None] * run(x[token], load, expert_array)
    return y


@wrong
def last_expert_dropped(x, gates, experts, expert_array):
    """Runs are cut at `cumsum[:-1]` and the last one is forgotten."""
    order, _ = by_expert(experts, expert_array)
    kept = order[experts.flatten()[order] < len(expert_array) - 1]
    token, y = kept // experts.shape[1], torch.zeros_like(x)
    if not len(kept):
        return y
    load = torch.bincount(experts.flatten()[kept])
    return y.index_add(0, token, gates.flatten()[kept, None] * run(x[token], load, expert_array))


@wrong
def starts_for_ends(x, gates, experts, expert_array):
    """A run starts where it should end, so expert i takes the run of expert i + 1."""
    order, load = by_expert(experts, expert_array)
    token, ends = order // experts.shape[1], [*load.cumsum(0).tolist(), experts.numel()]
    out = torch.zeros(len(token), x.shape[1], dtype=x.dtype)
    for i, (start, end) in enumerate(pairwise(ends)):
        out[start:end] = expert_array[i](x[token[start:end]])
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def runs_without_numbers(x, gates, experts, expert_array):
    """Runs are counted from 0: the wrong experts as soon as one is empty."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    out = run(x[token], load[load > 0], expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def even_runs(x, gates, experts, expert_array):
    """Sorted rows cut into runs of equal length."""
    order, _ = by_expert(experts, expert_array)
    token, y = order // experts.shape[1], torch.zeros_like(x)
    runs = x[token].tensor_split(len(expert_array))
    out = torch.cat([expert_array[i](rows) for i, rows in enumerate(runs)])
    return y.index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def one_call_a_row(x, gates, experts, expert_array):
    """Sorted, and then an expert is called once for each row."""
    order, _ = by_expert(experts, expert_array)
    token, flat = order // experts.shape[1], experts.flatten()[order].tolist()
    out = torch.cat(
        [expert_array[i](x[t : t + 1]) for i, t in zip(flat, token.tolist(), strict=True)]
    )
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def one_sort_a_slot(x, gates, experts, expert_array):
    """A sort for each slot: up to K calls an expert."""
    slots = range(experts.shape[1])
    cut = (slice(k, k + 1) for k in slots)
    return sum(sorted_dispatch(x, gates[:, k], experts[:, k], expert_array) for k in cut)


@wrong
def sorted_within_tokens(x, gates, experts, expert_array):
    """Each token's choices are sorted, not all choices."""
    order = experts.argsort(dim=-1).flatten()
    token = torch.arange(len(x)).repeat_interleave(experts.shape[1])
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def sorted_by_gate(x, gates, experts, expert_array):
    """Sorted by gate, cut by load."""
    order = gates.flatten().argsort(descending=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def busiest_runs_first(x, gates, experts, expert_array):
    """Rows sorted downwards, runs cut upwards."""
    order = experts.flatten().argsort(descending=True, stable=True)
    token = order // experts.shape[1]
    out = run(x[token], expert_load(experts, len(expert_array)), expert_array)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
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


@wrong
def without_gates(x, gates, experts, expert_array):
    """Every choice counts 1."""
    return sorted_dispatch(x, torch.ones_like(gates), experts, expert_array)


@wrong
def gate_before_expert(x, gates, experts, expert_array):
    """The gate scales the rows that go in."""
    order, load = by_expert(experts, expert_array)
    token = order // experts.shape[1]
    out = run(gates.flatten()[order, None] * x[token], load, expert_array)
    return torch.zeros_like(x).index_add(0, token, out)


@wrong
def detached_rows(x, gates, experts, expert_array):
    """The gathered rows are detached: x hears nothing from the experts."""
    return sorted_dispatch(x.detach(), gates, experts, expert_array)


@wrong
def sorts_gates_in_place(x, gates, experts, expert_array):
    """Right value, and the caller's gates come back sorted by expert."""
    y = sorted_dispatch(x, gates.clone(), experts, expert_array)
    order, _ = by_expert(experts, expert_array)
    gates.data.copy_(gates.data.flatten()[order].view(gates.shape))
    return y


@wrong
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
