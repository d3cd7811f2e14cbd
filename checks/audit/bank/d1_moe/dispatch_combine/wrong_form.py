"""Wrong answers to D1.3 dispatch_combine: too much work, dropped choices, wrong shapes."""

import torch

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
