"""Right answers to D1.O1 fast_dispatch."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d1_moe.fast_dispatch.steps import by_run, of_tables, padded, stacked
from solutions.d1_moe import dispatch_combine, sorted_dispatch

EQUIVALENT_MUTANTS: dict[str, str] = {}


@right
def expert_loop(x, gates, experts, expert_array):
    """D1.3's own loop: right, and no faster."""
    return dispatch_combine(x, gates, experts, expert_array)


@right
def one_sort(x, gates, experts, expert_array):
    """Investigation 1's way: one call per expert on its run."""
    return sorted_dispatch(x, gates, experts, expert_array)


@right
def token_by_token(x, gates, experts, expert_array):
    """The token loop: right, and many times slower."""
    rows = []
    for t, chosen in enumerate(experts.tolist()):
        outs = [g * expert_array[i](x[t]) for g, i in zip(gates[t], chosen, strict=True)]
        rows.append(torch.stack(outs).sum(0))
    return torch.stack(rows)


@right
def everything_dense(x, gates, experts, expert_array):
    """All experts on all tokens in three products, and the gates as a matrix with zeros."""
    out = of_tables(x, *stacked(expert_array))  # (E, T, D)
    dense = gates.new_zeros(len(x), len(expert_array)).scatter_add(1, experts, gates)
    return torch.einsum("te,etd->td", dense, out)


@right
def tables_summed_by_slot(x, gates, experts, expert_array):
    """Tables as the reference's, put back in the order of the choices and summed over slots."""
    order, flat, place, load = by_run(experts, len(expert_array))
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows = rows.index_put((flat, place), x[order // experts.shape[1]])
    out = of_tables(rows, *stacked(expert_array))[flat, place][order.argsort()]
    return (gates[..., None] * out.view(*experts.shape, -1)).sum(1)


@right
def gate_and_up_joined(x, gates, experts, expert_array):
    """Runs of rows in a loop, gate and up in one product per expert, no module called."""
    order, _, _, load = by_run(experts, len(expert_array))
    token = order // experts.shape[1]
    outs = []
    for i, rows in enumerate(x[token].split(load.tolist())):
        if len(rows):
            expert = expert_array[i]
            both = F.linear(rows, torch.cat([expert.gate.weight, expert.up.weight]))
            gate, up = both.chunk(2, dim=-1)
            outs.append(F.linear(F.silu(gate) * up, expert.down.weight))
    weighted = gates.flatten()[order, None] * torch.cat(outs)
    return torch.zeros_like(x).index_add(0, token, weighted)


@right
def busiest_alone(x, gates, experts, expert_array):
    """Tables as long as the mean run needs twice, and a loop for what is left over."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token, room = order // experts.shape[1], 2 * experts.numel() // len(expert_array) + 1
    fits = place < room
    rows = x.new_zeros(len(load), room, x.shape[1])
    rows[flat[fits], place[fits]] = x[token[fits]]
    out = x.new_zeros(len(order), x.shape[1])
    out[fits] = of_tables(rows, *stacked(expert_array))[flat[fits], place[fits]]
    for i in flat[~fits].unique().tolist():
        late = ~fits & (flat == i)
        out[late] = expert_array[i](x[token[late]])
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@right
def used_experts_only(x, gates, experts, expert_array):
    """Only the experts that somebody chose are stacked, under new numbers."""
    used, renumbered = experts.unique(return_inverse=True)
    chosen = [expert_array[i] for i in used.tolist()]
    return padded(x, gates, renumbered, chosen)
