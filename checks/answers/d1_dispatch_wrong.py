"""D1.3 dispatch_combine, answered wrongly."""

import torch

from checks.answers.bank import Bank
from solutions.d1_moe import dispatch_combine

bank = Bank("d1_moe")


def choices(experts, expert_array):
    """Each expert that was chosen, with the tokens and slots that chose it."""
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        if len(token):
            yield expert_array[i], token, slot


@bank.wrong("D1.3")
def overwrites(x, gates, experts, expert_array):
    """`y[token] = …`: the last expert of a token wins."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y[token] = gates[token, slot, None] * expert(x[token])
    return y


@bank.wrong("D1.3")
def repeated_index(x, gates, experts, expert_array):
    """All choices in one `y[token] += …`, which adds once where an index repeats."""
    y, tokens, parts = torch.zeros_like(x), [], []
    for expert, token, slot in choices(experts, expert_array):
        tokens.append(token)
        parts.append(gates[token, slot, None] * expert(x[token]))
    y[torch.cat(tokens)] += torch.cat(parts)
    return y


@bank.wrong("D1.3")
def stops_at_empty(x, gates, experts, expert_array):
    """`break` at the first expert nobody chose."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        if not len(token):
            break
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@bank.wrong("D1.3")
def skips_lone_tokens(x, gates, experts, expert_array):
    """`> 1` where `> 0` belongs: an expert with one token stays idle."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        if len(token) > 1:
            y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
    return y


@bank.wrong("D1.3")
def ignores_gates(x, gates, experts, expert_array):
    """Every choice counts 1."""
    return dispatch_combine(x, torch.ones_like(gates), experts, expert_array)


@bank.wrong("D1.3")
def first_gate(x, gates, experts, expert_array):
    """The gate of slot 0 for every slot."""
    return dispatch_combine(x, gates[:, :1].expand_as(gates), experts, expert_array)


@bank.wrong("D1.3")
def largest_gate(x, gates, experts, expert_array):
    """The token's largest gate for each of its experts."""
    y = torch.zeros_like(x)
    for expert, token, _ in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token].amax(dim=1, keepdim=True) * expert(x[token]))
    return y


@bank.wrong("D1.3")
def neighbours_gate(x, gates, experts, expert_array):
    """The gate of the next slot."""
    return dispatch_combine(x, gates.roll(1, dims=1), experts, expert_array)


@bank.wrong("D1.3")
def gates_in_line(x, gates, experts, expert_array):
    """An expert's first token takes the first token's gate: `gates[: len(token)]`."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        gate = gates[torch.arange(len(token)), slot]
        y = y.index_add(0, token, gate[:, None] * expert(x[token]))
    return y


@bank.wrong("D1.3")
def gate_on_input(x, gates, experts, expert_array):
    """The gate scales what goes into the expert, not what comes out."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, expert(gates[token, slot, None] * x[token]))
    return y


@bank.wrong("D1.3")
def gate_twice(x, gates, experts, expert_array):
    """The gate is applied twice."""
    return dispatch_combine(x, gates**2, experts, expert_array)


@bank.wrong("D1.3")
def averages(x, gates, experts, expert_array):
    """Divided by K."""
    return dispatch_combine(x, gates, experts, expert_array) / experts.shape[1]


@bank.wrong("D1.3")
def renormalises(x, gates, experts, expert_array):
    """Divides the gates by their sum, which is the router's job."""
    total = gates.sum(dim=-1, keepdim=True)
    return dispatch_combine(x, gates / total, experts, expert_array)


@bank.wrong("D1.3")
def softmaxes_gates(x, gates, experts, expert_array):
    """Another softmax over the gates."""
    return dispatch_combine(x, gates.softmax(dim=-1), experts, expert_array)


@bank.wrong("D1.3")
def detached_input(x, gates, experts, expert_array):
    """`x.detach()`: nothing flows back to the layers below."""
    return dispatch_combine(x.detach(), gates, experts, expert_array)


@bank.wrong("D1.3")
def detached_gates(x, gates, experts, expert_array):
    """`gates.detach()`: the router never learns."""
    return dispatch_combine(x, gates.detach(), experts, expert_array)


@bank.wrong("D1.3")
def detached_outputs(x, gates, experts, expert_array):
    """The experts run without gradient."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        with torch.no_grad():
            out = expert(x[token])
        y = y.index_add(0, token, gates[token, slot, None] * out)
    return y


@bank.wrong("D1.3")
def adds_into_input(x, gates, experts, expert_array):
    """Right value, and the caller's x is overwritten with it."""
    y = dispatch_combine(x, gates, experts, expert_array)
    x.data.copy_(y)
    return y


@bank.wrong("D1.3")
def uses_gates_up(x, gates, experts, expert_array):
    """Right value, and the caller's gates come back as zeros."""
    y = dispatch_combine(x, gates.clone(), experts, expert_array)
    gates.data.zero_()
    return y


@bank.wrong("D1.3")
def marks_done(x, gates, experts, expert_array):
    """Choices that are dealt with become -1 in the caller's tensor."""
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
        experts[token, slot] = -1
    return y


@bank.wrong("D1.3")
def skips_last(x, gates, experts, expert_array):
    """`range(len(expert_array) - 1)`."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array) - 1):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@bank.wrong("D1.3")
def skips_expert_zero(x, gates, experts, expert_array):
    """`if i:` takes expert 0 for nothing."""
    y = torch.zeros_like(x)
    for i in experts.unique().tolist():
        if i:
            token, slot = torch.where(experts == i)
            y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@bank.wrong("D1.3")
def ranks_for_numbers(x, gates, experts, expert_array):
    """`enumerate` over the chosen experts: wrong ones as soon as one is empty."""
    y = torch.zeros_like(x)
    for rank, i in enumerate(experts.unique()):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[rank](x[token]))
    return y


@bank.wrong("D1.3")
def all_experts_dense(x, gates, experts, expert_array):
    """Every expert on every token, then a gather: right value, E/K times the work."""
    out = torch.stack([expert_array[i](x) for i in range(len(expert_array))], dim=1)
    picked = out.gather(1, experts[..., None].expand(-1, -1, x.shape[1]))
    return (gates[..., None] * picked).sum(dim=1)


@bank.wrong("D1.3")
def float_mask(x, gates, experts, expert_array):
    """Every chosen expert on every token, times a mask: right value, too much work."""
    y = torch.zeros_like(x)
    for i in experts.unique().tolist():
        weight = (gates * (experts == i)).sum(dim=1, keepdim=True)
        y = y + weight * expert_array[i](x)
    return y


@bank.wrong("D1.3")
def zeroed_rows(x, gates, experts, expert_array):
    """Tokens of other experts go in as rows of zeros: right value, too much work."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        weight = (gates * (experts == i)).sum(dim=1, keepdim=True)
        y = y + weight * expert_array[i](torch.where(weight != 0, x, 0))
    return y


@bank.wrong("D1.3")
def first_choice(x, gates, experts, expert_array):
    """Only slot 0."""
    return dispatch_combine(x, gates[:, :1], experts[:, :1], expert_array)


@bank.wrong("D1.3")
def two_slots(x, gates, experts, expert_array):
    """At most two slots, whatever K is."""
    return dispatch_combine(x, gates[:, :2], experts[:, :2], expert_array)


@bank.wrong("D1.3")
def float32_zeros(x, gates, experts, expert_array):
    """`torch.zeros(x.shape)`: float32 whatever x is."""
    y = torch.zeros(x.shape)
    for expert, token, slot in choices(experts, expert_array):
        y[token] = y[token] + (gates[token, slot, None] * expert(x[token])).float()
    return y


@bank.wrong("D1.3")
def view_for_transpose(x, gates, experts, expert_array):
    """`reshape(K, T)` where `.T` was meant: choices go to other tokens."""
    by_slot = experts.reshape(experts.shape[1], -1)
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        slot, token = torch.where(by_slot == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@bank.wrong("D1.3")
def adds_residual(x, gates, experts, expert_array):
    """Starts from x where it must start from zero."""
    return x + dispatch_combine(x, gates, experts, expert_array)


@bank.wrong("D1.3")
def squeezes(x, gates, experts, expert_array):
    """`squeeze` loses the token axis when there is one token."""
    return dispatch_combine(x, gates, experts, expert_array).squeeze()


@bank.wrong("D1.3")
def squeezes_choices(x, gates, experts, expert_array):
    """`squeeze` on the choices: an error for one token, and for K = 1."""
    y, gates, experts = torch.zeros_like(x), gates.squeeze(), experts.squeeze()
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * expert_array[i](x[token]))
    return y


@bank.wrong("D1.3")
def even_capacity(x, gates, experts, expert_array):
    """An expert takes its even share of rows and drops the rest."""
    capacity = -(-experts.numel() // len(expert_array))
    y = torch.zeros_like(x)
    for expert, token, slot in choices(experts, expert_array):
        token, slot = token[:capacity], slot[:capacity]
        y = y.index_add(0, token, gates[token, slot, None] * expert(x[token]))
    return y


@bank.wrong("D1.3")
def output_fed_on(x, gates, experts, expert_array):
    """The second expert reads what the first one made: experts in a row, not side by side."""
    y = x
    for expert, token, slot in choices(experts, expert_array):
        y = y.index_add(0, token, gates[token, slot, None] * expert(y[token]))
    return y - x
