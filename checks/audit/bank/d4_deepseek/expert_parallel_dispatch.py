"""Right and wrong answers to D4.I3b expert_parallel_dispatch."""

import torch
from torch import distributed as dist

from checks.audit.answers import right, wrong
from helpers.parallel.exchange import exchange
from solutions.d1_moe import dispatch_combine
from solutions.d4_machines import rows_to_send

EQUIVALENT_MUTANTS = {
    "by_expert = mine.argsort(stable=True).to(x.device) → "
    "by_expert = mine.argsort(stable=True)": "the checks run on the CPU",
    "send, receive = (counts.sum(dim=1).tolist(), arriving.sum(dim=1).tolist()) → "
    "send, receive = (counts.sum(dim=1).tolist(), arriving.sum(dim=1))": (
        "the exchange reads sizes from a tensor as well"
    ),
}


def met(experts, local_experts, group):
    """The order, both sizes, and the local expert of each row that arrives."""
    n = dist.get_world_size(group)
    order, counts = rows_to_send(experts, n * len(local_experts), n)
    arriving = exchange(counts, [1] * n, [1] * n, group)
    mine = torch.arange(len(local_experts)).repeat(n).repeat_interleave(arriving.flatten())
    return order, counts.sum(1).tolist(), arriving.sum(1).tolist(), mine


def run(rows, mine, local_experts):
    """Each local expert once on its rows, which return in the order of arrival."""
    order = mine.argsort(stable=True)
    sizes = torch.bincount(mine, minlength=len(local_experts)).tolist()
    parts = rows[order].split(sizes)
    out = torch.cat([local_experts[i](part) for i, part in enumerate(parts)])
    return out[order.argsort()]


def returned(x, gates, experts, order, back):
    """The weighted sum of what came back."""
    y = torch.zeros_like(x)
    return y.index_add(0, order // experts.shape[1], gates.flatten()[order, None] * back)


@right
def by_where(x, gates, experts, local_experts, group):
    """The places of each local expert's rows by `where`; every expert called, also on nothing."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    places = [torch.where(mine == i)[0] for i in range(len(local_experts))]
    out = torch.cat([local_experts[i](rows[place]) for i, place in enumerate(places)])
    out = out[torch.cat(places).argsort()]
    return returned(x, gates, experts, order, exchange(out, receive, send, group))


@right
def numbers_travel(x, gates, experts, local_experts, group):
    """Beside each row travels the number of its expert, in place of counts per expert."""
    n, local = dist.get_world_size(group), len(local_experts)
    order, counts = rows_to_send(experts, n * local, n)
    send = counts.sum(1)
    receive = exchange(send, [1] * n, [1] * n, group).tolist()
    send = send.tolist()
    mine = exchange(experts.flatten()[order] % local, send, receive, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates, experts, order, back)


@right
def gates_travel_too(x, gates, experts, local_experts, group):
    """The gate travels as one more column, and weights the row at its expert."""
    order, send, receive, mine = met(experts, local_experts, group)
    token = order // experts.shape[1]
    both = torch.cat([x[token], gates.flatten()[order, None]], dim=1)
    both = exchange(both, send, receive, group)
    out = run(both[:, :-1], mine, local_experts) * both[:, -1:]
    back = exchange(out, receive, send, group)
    return torch.zeros_like(x).index_add(0, token, back)


@right
def dispatch_here(x, gates, experts, local_experts, group):
    """D1's dispatch runs the local experts that have rows, with gates of 1; the idle run behind."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    ones = torch.ones(len(rows), 1, dtype=x.dtype)
    out = dispatch_combine(rows, ones, mine[:, None], local_experts) + 0.0 * rows
    idle = set(range(len(local_experts))) - set(mine.tolist())
    out = torch.cat([out, *(local_experts[i](rows[:0]) for i in idle)])
    return returned(x, gates, experts, order, exchange(out, receive, send, group))


@wrong
def gates_unsorted(x, gates, experts, local_experts, group):
    """Gates in the order of the tokens, rows in that of the experts."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    y = torch.zeros_like(x)
    return y.index_add(0, order // experts.shape[1], gates.flatten()[:, None] * back)


@wrong
def no_gates(x, gates, experts, local_experts, group):
    """What comes back is summed as it is."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, torch.ones_like(gates), experts, order, back)


@wrong
def own_experts_alone(x, gates, experts, local_experts, group):
    """Every row stays, and is run by the local expert of the same place."""
    return dispatch_combine(x, gates, experts % len(local_experts), local_experts)


@wrong
def sizes_not_swapped(x, gates, experts, local_experts, group):
    """The way back has the sizes of the way there."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), send, receive, group)
    return returned(x, gates, experts, order, back)


@wrong
def left_by_expert(x, gates, experts, local_experts, group):
    """Results travel in the order of the experts, not in that of arrival."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    by_expert = mine.argsort(stable=True)
    sizes = torch.bincount(mine, minlength=len(local_experts)).tolist()
    parts = rows[by_expert].split(sizes)
    out = torch.cat([local_experts[i](part) for i, part in enumerate(parts)])
    return returned(x, gates, experts, order, exchange(out, receive, send, group))


@wrong
def as_if_by_expert(x, gates, experts, local_experts, group):
    """What arrives is taken to stand by expert, over all processes."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    out = run(rows, mine.sort().values, local_experts)
    return returned(x, gates, experts, order, exchange(out, receive, send, group))


@wrong
def tokens_in_place_of_choices(x, gates, experts, local_experts, group):
    """`order` is taken for tokens."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order % max(1, len(x))], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates, experts, order, back)


@wrong
def overwritten(x, gates, experts, local_experts, group):
    """The last choice of a token replaces the others."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    token = order // experts.shape[1]
    return torch.zeros_like(x).index_copy(0, token, gates.flatten()[order, None] * back)


@wrong
def residual(x, gates, experts, local_experts, group):
    """x is added."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return x + returned(x, gates, experts, order, back)


@wrong
def plain_collective(x, gates, experts, local_experts, group):
    """The collective without a gradient carries the rows."""
    order, send, receive, mine = met(experts, local_experts, group)
    sent = x[order // experts.shape[1]].detach()
    rows = torch.empty(sum(receive), x.shape[1], dtype=x.dtype)
    dist.all_to_all_single(rows, sent, receive, send, group=group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates, experts, order, back)


@wrong
def detached_back(x, gates, experts, local_experts, group):
    """No gradient goes back to the experts."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts).detach(), receive, send, group)
    return returned(x, gates, experts, order, back.detach())


@wrong
def gates_detached(x, gates, experts, local_experts, group):
    """The router learns nothing."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates.detach(), experts, order, back)


@wrong
def row_by_row(x, gates, experts, local_experts, group):
    """An expert is called for each row that arrives."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    out = [local_experts[i](row[None]) for i, row in zip(mine.tolist(), rows, strict=True)]
    back = exchange(torch.cat([*out, rows[:0]]), receive, send, group)
    return returned(x, gates, experts, order, back)


@wrong
def without_tokens_stays_away(x, gates, experts, local_experts, group):
    """A process without a token returns at once, and the others wait."""
    if not len(x):
        return torch.zeros_like(x)
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates, experts, order, back)


@wrong
def equal_shares(x, gates, experts, local_experts, group):
    """As many rows to each process as to any other."""
    n = dist.get_world_size(group)
    order, _, _, _ = met(experts, local_experts, group)
    share = len(order) // n
    sizes = [share] * (n - 1) + [len(order) - share * (n - 1)]
    rows = exchange(x[order // experts.shape[1]], sizes, sizes, group)
    out = run(rows, torch.zeros(len(rows), dtype=torch.int64), local_experts)
    return returned(x, gates, experts, order, exchange(out, sizes, sizes, group))


@wrong
def gates_twice(x, gates, experts, local_experts, group):
    """Weighted before the way and after it."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    return returned(x, gates * gates, experts, order, back)


@wrong
def written_into_x(x, gates, experts, local_experts, group):
    """The sum is written into x."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    back = exchange(run(rows, mine, local_experts), receive, send, group)
    y = returned(x, gates, experts, order, back)
    with torch.no_grad():
        x.copy_(y)
    return y


@wrong
def gathered_at_the_first(x, gates, experts, local_experts, group):
    """The first process computes for all by its own experts."""
    if dist.get_rank(group) == 0:
        return dispatch_combine(x, gates, experts % len(local_experts), local_experts)
    return torch.zeros_like(x) * gates.sum()


@wrong
def passes_over_idle(x, gates, experts, local_experts, group):
    """An expert that no row came for is not called."""
    order, send, receive, mine = met(experts, local_experts, group)
    rows = exchange(x[order // experts.shape[1]], send, receive, group)
    places = [torch.where(mine == i)[0] for i in range(len(local_experts))]
    busy = [i for i, place in enumerate(places) if len(place)]
    out = torch.cat([local_experts[i](rows[places[i]]) for i in busy] or [rows])
    out = out[torch.cat(places).argsort()]
    return returned(x, gates, experts, order, exchange(out, receive, send, group))
