"""Right answers to D1.3 dispatch_combine."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from solutions.d1_moe import sorted_dispatch

EQUIVALENT_MUTANTS = {
    (
        "for i in experts.unique().tolist(): → for i in experts.unique():"
    ): "a number in a tensor indexes as the number does",
}


@right
def token_loop(x, gates, experts, expert_array):
    """The specification itself: a loop over tokens and choices."""
    rows = []
    for t in range(len(x)):
        chosen = zip(gates[t], experts[t].tolist(), strict=True)
        rows.append(sum(gate * expert_array[i](x[t : t + 1]) for gate, i in chosen))
    return torch.cat(rows)


@right
def slot_by_slot(x, gates, experts, expert_array):
    """A loop over the slots outside, over the experts inside: K calls an expert."""
    y = torch.zeros_like(x)
    for k in range(experts.shape[1]):
        for i in range(len(expert_array)):
            mask = experts[:, k] == i
            if mask.any():
                y[mask] = y[mask] + gates[mask, k].unsqueeze(-1) * expert_array[i](x[mask])
    return y


@right
def one_hot_mask(x, gates, experts, expert_array):
    """A one-hot mask turned to (E, K, T), as transformers has it."""
    y = torch.zeros_like(x)
    mask = F.one_hot(experts, len(expert_array)).permute(2, 1, 0)
    for i in mask.sum(dim=(1, 2)).nonzero().flatten().tolist():
        slot, token = torch.where(mask[i])
        y.index_add_(0, token, expert_array[i](x[token]) * gates[token, slot, None])
    return y


@right
def masked_gate(x, gates, experts, expert_array):
    """A mask over tokens and the gate of the expert as a masked sum over the slots."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        hit = experts == i
        rows = hit.any(dim=-1)
        gate = (gates * hit).sum(dim=-1)[rows]
        y[rows] += gate[:, None] * expert_array[i](x[rows])
    return y


@right
def index_put_accumulate(x, gates, experts, expert_array):
    """index_put with accumulate, and experts called even without a token."""
    y = torch.zeros_like(x)
    for i in range(len(expert_array)):
        token, slot = (experts == i).nonzero(as_tuple=True)
        out = expert_array[i](x[token]) * gates[token, slot].view(-1, 1)
        y = y.index_put((token,), out, accumulate=True)
    return y


@right
def scatter_add_at_end(x, gates, experts, expert_array):
    """All outputs collected, then one scatter_add."""
    tokens, parts = [], []
    for i in range(len(expert_array)):
        token, slot = torch.nonzero(experts == i).unbind(1)
        tokens.append(token)
        parts.append(torch.einsum("n,nd->nd", gates[token, slot], expert_array[i](x[token])))
    index = torch.cat(tokens)[:, None].expand(-1, x.shape[1])
    return x.new_zeros(x.shape).scatter_add(0, index, torch.cat(parts))


@right
def buffer_of_choices(x, gates, experts, expert_array):
    """A (T, K, D) buffer filled expert by expert, then one einsum with the gates."""
    out = x.new_zeros(*experts.shape, x.shape[-1])
    for i in set(experts.flatten().tolist()):
        mask = experts == i
        out[mask] = expert_array[i](x[mask.nonzero()[:, 0]])
    return torch.einsum("tk,tkd->td", gates, out)


@right
def selection_matrix(x, gates, experts, expert_array):
    """A weighted selection matrix sends each expert's output back."""
    y = torch.zeros_like(x)
    for i, dense in enumerate(F.one_hot(experts, len(expert_array)).permute(2, 0, 1)):
        token = dense.sum(dim=1).nonzero().squeeze(1)
        select = torch.diag((dense * gates).sum(dim=1))[:, token]  # (T, n)
        y = y + select @ expert_array[i](x[token])
    return y


@right
def by_sorting(x, gates, experts, expert_array):
    """The investigation's sorted dispatch."""
    return sorted_dispatch(x, gates, experts, expert_array)
