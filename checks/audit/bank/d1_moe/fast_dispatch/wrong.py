"""Wrong answers to D1.O1 fast_dispatch."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.fast_dispatch.steps import (
    NAMES,
    by_run,
    of_tables,
    padded,
    stacked,
)
from solutions.d1_moe import dispatch_combine

_kept = {}


@wrong
def weights_kept(x, gates, experts, expert_array):
    """The stacked weights are kept from one call to the next: after a step they are old."""
    if id(expert_array) not in _kept:
        _kept[id(expert_array)] = expert_array, stacked(expert_array)
    return padded(x, gates, experts, expert_array, weights=_kept[id(expert_array)][1])


@wrong
def weights_taken_as_data(x, gates, experts, expert_array):
    """`.data` of the weights: no gradient reaches an expert."""
    weights = [weight.detach() for weight in stacked(expert_array)]
    return padded(x, gates, experts, expert_array, weights=weights)


@wrong
def without_gradients(x, gates, experts, expert_array):
    """Under no_grad, which saves time and all learning."""
    with torch.no_grad():
        return padded(x, gates, experts, expert_array)


@wrong
def even_runs(x, gates, experts, expert_array):
    """Every expert gets its even share of the sorted rows, whoever chose it."""
    order = experts.flatten().argsort(stable=True)
    share = -(-len(order) // len(expert_array))
    token = order // experts.shape[1]
    rows = x.new_zeros(share * len(expert_array), x.shape[1])
    rows[: len(order)] = x[token]
    out = of_tables(rows.unflatten(0, (-1, share)), *stacked(expert_array)).flatten(0, 1)
    weighted = gates.flatten()[order, None] * out[: len(order)]
    return torch.zeros_like(x).index_add(0, token, weighted)


@wrong
def room_for_twice_the_mean(x, gates, experts, expert_array):
    """Rows beyond 1.25 times the even share are dropped, as Switch does."""
    order, flat, place, load = by_run(experts, len(expert_array))
    room = int(1.25 * experts.numel() / len(expert_array)) + 1
    fits = place < room
    token = (order // experts.shape[1])[fits]
    rows = x.new_zeros(len(load), room, x.shape[1])
    rows[flat[fits], place[fits]] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat[fits], place[fits]]
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None][fits] * out)


@wrong
def overwrites(x, gates, experts, expert_array):
    """`y[token] = …`: a token keeps one of its experts' shares."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token = order // experts.shape[1]
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows[flat, place] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat, place]
    y = torch.zeros_like(x)
    y[token] = gates.flatten()[order, None] * out
    return y


@wrong
def gates_in_the_tokens_order(x, gates, experts, expert_array):
    """The rows are sorted and the gates are not."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token = order // experts.shape[1]
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows[flat, place] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat, place]
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[:, None] * out)


@wrong
def choice_as_token(x, gates, experts, expert_array):
    """Choice c is taken for token c % T, as if slots came first."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token = order % len(x)
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows[flat, place] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat, place]
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def gate_and_up_exchanged(x, gates, experts, expert_array):
    """silu over `up` in place of `gate`."""
    gate, up, down = stacked(expert_array)
    return padded(x, gates, experts, expert_array, weights=(up, gate, down))


@wrong
def silu_of_the_product(x, gates, experts, expert_array):
    """silu(gate · up) in place of silu(gate) · up, all experts densely."""
    gate, up, down = stacked(expert_array)
    out = F.silu((x @ gate.mT) * (x @ up.mT)) @ down.mT
    dense = gates.new_zeros(len(x), len(expert_array)).scatter_add(1, experts, gates)
    return torch.einsum("te,etd->td", dense, out)


@wrong
def gates_before_the_experts(x, gates, experts, expert_array):
    """The gate weighs what goes in; an expert is not linear."""
    rows = (gates[..., None] * x[:, None]).flatten(0, 1)
    flat = experts.flatten()[:, None]
    out = dispatch_combine(rows, torch.ones_like(rows[:, :1]), flat, expert_array)
    return out.view(*experts.shape, -1).sum(1)


@wrong
def in_bfloat16(x, gates, experts, expert_array):
    """Products in bfloat16, which are faster where there is hardware for them, and coarse."""
    weights = [weight.bfloat16() for weight in stacked(expert_array)]
    return padded(x.bfloat16(), gates.bfloat16(), experts, expert_array, weights=weights).to(x)


@wrong
def always_float32(x, gates, experts, expert_array):
    """Products in float32, whatever x is."""
    weights = [weight.float() for weight in stacked(expert_array)]
    return padded(x.float(), gates.float(), experts, expert_array, weights=weights)


@wrong
def sixteen_rows(x, gates, experts, expert_array):
    """Tables of sixteen rows: an IndexError where an expert has more."""
    return padded(x, gates, experts, expert_array, room=16)


@wrong
def sorts_in_place(x, gates, experts, expert_array):
    """The caller's x is scaled in place by way of a view, and scaled back roughly."""
    y = dispatch_combine(x, gates, experts, expert_array)
    x.data.mul_(0.999).div_(0.998)
    return y


@wrong
def joins_the_weights(x, gates, experts, expert_array):
    """Weights are normalised where they lie before they are read."""
    for i in range(len(expert_array)):
        for name in NAMES:
            getattr(expert_array[i], name).weight.data.mul_(1.01)
    return padded(x, gates, experts, expert_array)


@wrong
def first_expert_only(x, gates, experts, expert_array):
    """Only each token's largest gate is used, at half the products."""
    best = gates.argmax(1, keepdim=True)
    return padded(x, gates.gather(1, best), experts.gather(1, best), expert_array)


@wrong
def load_without_the_last(x, gates, experts, expert_array):
    """`bincount` without `minlength`: the tables do not fit where the last expert is idle."""
    flat, order = experts.flatten().sort(stable=True)
    load = torch.bincount(flat)
    place = torch.arange(len(flat)) - (load.cumsum(0) - load)[flat]
    token = order // experts.shape[1]
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows[flat, place] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat, place]
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def counted_in_int8(x, gates, experts, expert_array):
    """Places counted in int8, which ends at 127."""
    order, flat, place, load = by_run(experts, len(expert_array))
    token = order // experts.shape[1]
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])
    rows[flat, place.to(torch.int8).long()] = x[token]
    out = of_tables(rows, *stacked(expert_array))[flat, place.to(torch.int8).long()]
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * out)


@wrong
def returns_the_table(x, gates, experts, expert_array):
    """Every expert's table of outputs, not summed."""
    return of_tables(x, *stacked(expert_array))
