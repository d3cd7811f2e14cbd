"""Right answers to D2.3e rebalance."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d2_deepseek_moe.rebalance.steps import rows_of
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import update_bias

EQUIVALENT_MUTANTS = {
    (
        "rows = real.reshape(-1).repeat_interleave(layer.num_segments) → "
        "rows = real.repeat_interleave(layer.num_segments)"
    ): "repeat_interleave flattens where no dimension is named",
}


@right
def choices_of_a_token_together(layer, real, step):
    """All m·K choices of a token in one row, picked by the plain mask; the buffer assigned anew."""
    router = layer.router
    choices = layer.last_experts.reshape(real.numel(), -1)[real.flatten()]
    load = torch.bincount(choices.flatten(), minlength=len(router.bias))
    router.bias = update_bias(router.bias, load, step)
    return load


@right
def mask_expanded(layer, real, step):
    """The mask expanded over segments and choices, the bias moved in place."""
    m, k = layer.num_segments, layer.last_experts.shape[1]
    mask = real[..., None, None].expand(-1, -1, m, k).flatten()
    load = layer.last_experts.flatten()[mask].bincount(minlength=layer.router.bias.numel())
    layer.router.bias += step * (load.float().mean() - load).sign()
    return load


@right
def weighted_one_hot(layer, real, step):
    """One-hot vectors times the mask, summed; `.data.copy_`."""
    one_hot = F.one_hot(layer.last_experts, len(layer.experts)).sum(dim=1)
    load = (one_hot * rows_of(layer, real)[:, None]).sum(dim=0)
    layer.router.bias.data.copy_(update_bias(layer.router.bias, load, step))
    return load


@right
def row_by_row(layer, real, step):
    """A loop over the rows in Python; row r belongs to token r // m."""
    load = [0] * len(layer.router.bias)
    tokens = real.flatten().tolist()
    for r, row in enumerate(layer.last_experts.tolist()):
        for i in row if tokens[r // layer.num_segments] else []:
            load[i] += 1
    load = torch.tensor(load)
    layer.router.bias[:] = update_bias(layer.router.bias, load, step)
    return load


@right
def padding_taken_off(layer, real, step):
    """The load of all rows less that of padding; the buffer registered anew."""
    bias, padding = layer.router.bias, layer.last_experts[~rows_of(layer, real)]
    load = expert_load(layer.last_experts, len(bias)) - expert_load(padding, len(bias))
    layer.router.register_buffer("bias", update_bias(bias, load, step))
    return load
