"""Wrong answers to D1.3 dispatch_combine: too much work, dropped choices, wrong shapes, narrow
numbers.
"""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.dispatch_combine.steps import choices
from solutions.d1_moe import dispatch_combine


@wrong
def all_experts_dense(x, gates, experts, expert_array):
    """Every expert on every token, then a gather: right value, E/K times the work."""
    out = torch.stack([expert_array[i](x) for i in range(len(expert_array))], dim=1)
    picked = out.gather(1, experts[..., None].expand(-1, -1, x.shape[1]))
    return (gates[..., None] * picked).sum(dim=1)


@wrong
def float_mask(x, gates, experts, expert_array):
    """Every chosen expert on every token, times a mask: right value, too much work."""
    y = torch.zeros_like(x)
    for i in experts.unique().tolist():
        weight = (gates * (experts == i)).sum(dim=1, keepdim=True)
        y = y + weight * expert_array[i](x)
    return y


@wrong
def zeroed_rows(x, gates, experts, expert_array):
    """Tokens of other experts go in as rows of zeros: right value, too much work."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        weight = (gates * (experts == i)).sum(dim=1, keepdim=True)
        y = y + weight * expert_array[i](torch.where(weight != 0, x, 0))
    return y


@wrong
def first_choice(x, gates, experts, expert_array):
    """Only slot 0."""
    return dispatch_combine(x, gates[:, :1], experts[:, :1], expert_array)


@wrong
def two_slots(x, gates, experts, expert_array):
    """At most two slots, whatever K is."""
    return dispatch_combine(x, gates[:, :2], experts[:, :2], expert_array)


@wrong
def float32_zeros(x, gates, experts, expert_array):
    """`torch.zeros(x.shape)`: float32 whatever x is."""
    y = torch.zeros(x.shape)
    for expert, token, slot in choices(experts, expert_array):
        y[token] = y[token] + (gates[token, slot, None] * expert(x[token])).float()
    return y


@wrong
def view_for_transpose(x, gates, experts, expert_array):
    """`reshape(K, T)` where `.T` was meant: choices go to other tokens."""
    by_slot = experts.reshape(experts.shape[1], -1)
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        slot, token = torch.where(by_slot == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def adds_residual(x, gates, experts, expert_array):
    """Starts from x where it must start from zero."""
    return x + dispatch_combine(x, gates, experts, expert_array)


@wrong
def squeezes(x, gates, experts, expert_array):
    """`squeeze` loses the token axis when there is one token."""
    return dispatch_combine(x, gates, experts, expert_array).squeeze()


@wrong
def squeezes_choices(x, gates, experts, expert_array):
    """`squeeze` on the choices: an error for one token, and for K = 1."""
    y, gates, experts = torch.zeros_like(x), gates.squeeze(), experts.squeeze()
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def even_capacity(x, gates, experts, expert_array):
    """An expert takes its even share of rows and drops the rest."""
    capacity = -(-experts.numel() // len(expert_array))
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        token, slot = token[:capacity], slot[:capacity]
        y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
    return y


@wrong
def output_fed_on(x, gates, experts, expert_array):
    """The second expert reads what the first one made: experts in a row, not side by side."""
    y = x
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token, slot, None] * expert(y[token]))
    return y - x


@wrong
def positive_gates_only(x, gates, experts, expert_array):
    """Dense weights, of which only those above 0 are looked at: a gate below 0 is dropped."""
    weights = x.new_zeros(len(x), len(expert_array)).scatter_add(1, experts, gates)
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        token = (weights[:, i] > 0).nonzero()[:, 0]
        if len(token):
            y = y.index_add(0, token, weights[token, i, None] * expert_array[i](x[token]))
    return y


@wrong
def numbered_in_a_byte(x, gates, experts, expert_array):
    """The experts' numbers in int8, which ends at 127."""
    y, small = torch.zeros_like(x), experts.to(torch.int8)
    for i in range(len(expert_array)):
        token, slot = torch.where(small == i)
        if len(token):
            y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def placed_in_type_of_x(x, gates, experts, expert_array):
    """Each choice's place among its expert's rows in the dtype of x: bfloat16 is exact to 256."""
    flat = experts.flatten()
    mask = F.one_hot(flat, len(expert_array)).to(x.dtype)
    place = (mask.cumsum(0) * mask).sum(1).long() - 1
    rows = x.repeat_interleave(experts.shape[1], dim=0)
    buffer = x.new_zeros(len(expert_array), len(rows), x.shape[1])
    buffer = buffer.index_put((flat, place), rows)
    out = torch.zeros_like(buffer)
    for i, n in enumerate(flat.bincount().tolist()):
        if n:
            out[i, :n] = expert_array[i](buffer[i, :n])
    return (gates[..., None] * out[flat, place].view(*experts.shape, -1)).sum(dim=1)


@wrong
def float32_at_least(x, gates, experts, expert_array):
    """y in float32 at least, whatever narrower type x has."""
    y = dispatch_combine(x, gates, experts, expert_array)
    return y.to(torch.promote_types(x.dtype, torch.float32))
