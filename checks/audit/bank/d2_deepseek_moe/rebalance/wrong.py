"""Wrong answers to D2.3e rebalance."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.rebalance.steps import rows_of
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import rebalance, update_bias


def moved_by(layer, experts, step):
    """The load of these choices, by which the bias has moved."""
    bias = layer.router.bias
    load = expert_load(experts, len(bias))
    bias.copy_(update_bias(bias, load, step))
    return load


@wrong
def counts_padding(layer, real, step):
    """All rows count: padding steers."""
    return moved_by(layer, layer.last_experts, step)


@wrong
def returns_real_moves_by_all(layer, real, step):
    """The load of real tokens returned, the bias moved by the load of all."""
    moved_by(layer, layer.last_experts, step)
    return expert_load(layer.last_experts[rows_of(layer, real)], len(layer.router.bias))


@wrong
def mask_turned(layer, real, step):
    """Only padding counts."""
    return rebalance(layer, ~real, step)


@wrong
def padding_to_expert_zero(layer, real, step):
    """The choices times the mask: padding counts for expert 0."""
    return moved_by(layer, layer.last_experts * rows_of(layer, real)[:, None], step)


@wrong
def one_row_a_token(layer, real, step):
    """The mask of tokens on the rows of segments: IndexError where there are several."""
    return moved_by(layer, layer.last_experts[real.reshape(-1)], step)


@wrong
def tiled(layer, real, step):
    """`repeat` for `repeat_interleave`: as if all first slices came first."""
    return moved_by(layer, layer.last_experts[real.reshape(-1).repeat(layer.num_segments)], step)


@wrong
def first_segment_only(layer, real, step):
    """The first slice of each token counts."""
    return moved_by(layer, layer.last_experts[:: layer.num_segments][real.reshape(-1)], step)


@wrong
def tokens_not_rows(layer, real, step):
    """The load over the number of segments, rounded down."""
    return rebalance(layer, real, step) // layer.num_segments


@wrong
def padding_at_the_end_of_all(layer, real, step):
    """The first rows, as many as are real: padding is taken to come last in the batch."""
    return moved_by(layer, layer.last_experts[: int(real.sum()) * layer.num_segments], step)


@wrong
def padding_on_the_right(layer, real, step):
    """The first positions of each sequence, as many as are real."""
    first = torch.arange(real.shape[1]) < real.sum(dim=1, keepdim=True)
    return rebalance(layer, first, step)


@wrong
def positions_first(layer, real, step):
    """The mask turned to (L, B) before it is flattened."""
    return rebalance(layer, real.T, step)


@wrong
def first_sequence_only(layer, real, step):
    """The first sequence of the batch counts."""
    rows = layer.last_experts[: real.shape[1] * layer.num_segments]
    return moved_by(layer, rows[rows_of(layer, real[0])], step)


@wrong
def first_choices_only(layer, real, step):
    """Slot 0 only."""
    return moved_by(layer, layer.last_experts[rows_of(layer, real), :1], step)


@wrong
def longest_count(layer, real, step):
    """`bincount` without `minlength`: experts at the end that nobody chose are missing."""
    load = layer.last_experts[rows_of(layer, real)].flatten().bincount()
    layer.router.bias[: len(load)] = update_bias(layer.router.bias[: len(load)], load, step)
    return load


@wrong
def eight_experts(layer, real, step):
    """Counts for eight experts: a RuntimeError where there are others."""
    load = expert_load(layer.last_experts[rows_of(layer, real)], 8)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def from_zero(layer, real, step):
    """Every batch moves a bias of zeros."""
    layer.router.bias.zero_()
    return rebalance(layer, real, step)


@wrong
def sign_turned(layer, real, step):
    """Busy experts are raised."""
    return rebalance(layer, real, -step)


@wrong
def twice(layer, real, step):
    """Two steps a batch."""
    rebalance(layer, real, step)
    return rebalance(layer, real, step)


@wrong
def published_step(layer, real, step):
    """0.001, whatever step says."""
    return rebalance(layer, real, 0.001)


@wrong
def published_step_for_none(layer, real, step):
    """`step or 0.001`: a step that has fallen to 0 still moves the bias."""
    return rebalance(layer, real, step or 0.001)


@wrong
def nothing_at_step_zero(layer, real, step):
    """Nothing to move, and so nothing returned either."""
    return rebalance(layer, real, step) if step else None


@wrong
def no_longer_saved(layer, real, step):
    """The buffer registered anew with persistent=False: it is not saved with the model."""
    load = rebalance(layer, real, step)
    layer.router.register_buffer("bias", layer.router.bias, persistent=False)
    return load


@wrong
def view_only(layer, real, step):
    """`view` on the mask as it comes: an error when it is not contiguous."""
    rows = real.view(-1).repeat_interleave(layer.num_segments)
    return moved_by(layer, layer.last_experts[rows], step)


@wrong
def proportional(layer, real, step):
    """step times the difference itself."""
    load = rebalance(layer, real, 0.0)
    layer.router.bias += step * (load.float().mean() - load)
    return load


@wrong
def bound_to_a_name(layer, real, step):
    """The new bias in a local name: the layer keeps its old one."""
    bias = layer.router.bias
    load = expert_load(layer.last_experts[rows_of(layer, real)], len(bias))
    bias = update_bias(bias, load, step)
    return load


@wrong
def moves_a_copy(layer, real, step):
    """A copy of the bias moved in place: the layer keeps its old one."""
    bias = layer.router.bias.clone()
    load = expert_load(layer.last_experts[rows_of(layer, real)], len(bias))
    bias.copy_(update_bias(bias, load, step))
    return load


@wrong
def kept_on_the_layer(layer, real, step):
    """`layer.bias`, which no router reads."""
    load = expert_load(layer.last_experts[rows_of(layer, real)], len(layer.router.bias))
    layer.bias = update_bias(layer.router.bias, load, step)
    return load


@wrong
def learnable(layer, real, step):
    """The bias becomes an nn.Parameter: the optimiser would move it too."""
    load = rebalance(layer, real, step)
    layer.router.bias = nn.Parameter(layer.router.bias)
    return load


@wrong
def in_float64(layer, real, step):
    """The double of the mean never cast back: the bias comes out in float64."""
    load = rebalance(layer, real, 0.0)
    layer.router.bias = layer.router.bias + step * (load.double().mean() - load).sign()
    return load


@wrong
def nothing_returned(layer, real, step):
    """The bias moves, and nothing comes back."""
    rebalance(layer, real, step)


@wrong
def bias_returned(layer, real, step):
    """The new bias comes back, not the load."""
    rebalance(layer, real, step)
    return layer.router.bias


@wrong
def share_returned(layer, real, step):
    """Each expert's share of the choices."""
    load = rebalance(layer, real, step)
    return load / load.sum().clamp(min=1)


@wrong
def load_a_token(layer, real, step):
    """The load averaged over real tokens."""
    return rebalance(layer, real, step) / real.sum().clamp(min=1)


@wrong
def since_the_start(layer, real, step):
    """The load of all batches so far moves the bias."""
    bias = layer.router.bias
    load = expert_load(layer.last_experts[rows_of(layer, real)], len(bias))
    layer.total_load = getattr(layer, "total_load", 0) + load
    bias.copy_(update_bias(bias, layer.total_load, step))
    return load


@wrong
def choices_cut(layer, real, step):
    """Right load and bias, but last_experts keeps only the real rows."""
    load = rebalance(layer, real, step)
    layer.last_experts = layer.last_experts[rows_of(layer, real)]
    return load


@wrong
def mask_spoilt(layer, real, step):
    """Right load and bias, but the caller's mask comes back turned."""
    padding = real.logical_not_()
    return rebalance(layer, ~padding, step)
