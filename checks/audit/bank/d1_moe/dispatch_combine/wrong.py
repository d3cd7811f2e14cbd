"""Wrong answers to D1.3 dispatch_combine: wrong rows, gates or gradients."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.dispatch_combine.steps import choices
from solutions.d1_moe import dispatch_combine


@wrong
def overwrites(x, gates, experts, expert_array):
    """`y[token] = …`: the last expert of a token wins."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y[token] = gates[token, slot, None] * expert(x[token])
    return y


@wrong
def overwrites_by_mask(x, gates, experts, expert_array):
    """`y[mask] = …`: the same with a mask over the tokens."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        mask = (experts == i).any(dim=-1)
        gate = (gates * (experts == i)).sum(dim=-1)[mask]
        y[mask] = gate[:, None] * expert_array[i](x[mask])
    return y


@wrong
def repeated_index(x, gates, experts, expert_array):
    """All choices in one `y[token] += …`, which adds once where an index repeats."""
    y, tokens, parts = torch.zeros_like(x), [], []
    for expert, token, slot in choices(experts, expert_array):
        tokens.append(token)
        parts.append(gates[token, slot, None] * expert(x[token]))
    y[torch.cat(tokens)] += torch.cat(parts)
    return y


@wrong
def stops_at_empty(x, gates, experts, expert_array):
    """`break` at the first expert nobody chose."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        if not len(token):
            break
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def skips_lone_tokens(x, gates, experts, expert_array):
    """`> 1` where `> 0` belongs: an expert with one token stays idle."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        if len(token) > 1:
            y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
    return y


@wrong
def ignores_gates(x, gates, experts, expert_array):
    """Every choice counts 1."""
    return dispatch_combine(x, torch.ones_like(gates), experts, expert_array)


@wrong
def first_gate(x, gates, experts, expert_array):
    """The gate of slot 0 for every slot."""
    return dispatch_combine(x, gates[:, :1].expand_as(gates), experts, expert_array)


@wrong
def largest_gate(x, gates, experts, expert_array):
    """The token's largest gate for each of its experts."""
    y = torch.zeros_like(x)
    for expert, token, _ in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token].amax(dim=1, keepdim=True) * expert(x[token]))
    return y


@wrong
def neighbours_gate(x, gates, experts, expert_array):
    """The gate of the next slot."""
    return dispatch_combine(x, gates.roll(1, dims=1), experts, expert_array)


@wrong
def gates_in_line(x, gates, experts, expert_array):
    """An expert's first token takes the first token's gate: `gates[: len(token)]`."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        gate = gates[torch.arange(len(token)), slot]
        y = y.index_add(0, token, gate[:, None] * expert(x[token]))
    return y


@wrong
def gate_on_input(x, gates, experts, expert_array):
    """The gate scales what goes into the expert, not what comes out."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, expert(gates[token, slot, None] * x[token]))
    return y


@wrong
def gate_twice(x, gates, experts, expert_array):
    """The gate is applied twice."""
    return dispatch_combine(x, gates**2, experts, expert_array)


@wrong
def averages(x, gates, experts, expert_array):
    """Divided by K."""
    return dispatch_combine(x, gates, experts, expert_array) / experts.shape[1]


@wrong
def renormalises(x, gates, experts, expert_array):
    """Divides the gates by their sum, which is the router's job."""
    total = gates.sum(dim=-1, keepdim=True)
    return dispatch_combine(x, gates / total, experts, expert_array)


@wrong
def softmaxes_gates(x, gates, experts, expert_array):
    """Another softmax over the gates."""
    return dispatch_combine(x, gates.softmax(dim=-1), experts, expert_array)


@wrong
def detached_input(x, gates, experts, expert_array):
    """`x.detach()`: nothing flows back to the layers below."""
    return dispatch_combine(x.detach(), gates, experts, expert_array)


@wrong
def detached_gates(x, gates, experts, expert_array):
    """`gates.detach()`: the router never learns."""
    return dispatch_combine(x, gates.detach(), experts, expert_array)


@wrong
def detached_outputs(x, gates, experts, expert_array):
    """The experts run without gradient."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        with torch.no_grad():
            out = expert(x[token])
        y = y.index_add(0, token, gates[token, slot, None] * out)
    return y


@wrong
def adds_into_input(x, gates, experts, expert_array):
    """Right value, and the caller's x is overwritten with it."""
    y = dispatch_combine(x, gates, experts, expert_array)
    x.data.copy_(y)
    return y


@wrong
def uses_gates_up(x, gates, experts, expert_array):
    """Right value, and the caller's gates come back as zeros."""
    y = dispatch_combine(x, gates.clone(), experts, expert_array)
    gates.data.zero_()
    return y


@wrong
def marks_done(x, gates, experts, expert_array):
    """Choices that are dealt with become -1 in the caller's tensor."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
        experts[token, slot] = -1
    return y


@wrong
def skips_last(x, gates, experts, expert_array):
    """`range(len(expert_array) - 1)`."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array) - 1):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def skips_expert_zero(x, gates, experts, expert_array):
    """`if i:` takes expert 0 for nothing."""
    y = torch.zeros_like(x)
    for i in experts.unique().tolist():
        if i:
            token, slot = torch.where(experts == i)
            y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@wrong
def ranks_for_numbers(x, gates, experts, expert_array):
    """`enumerate` over the chosen experts: wrong ones as soon as one is empty."""
    y = torch.zeros_like(x)
    for rank, i in enumerate(experts.unique()):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[rank](x[token]))
    return y
