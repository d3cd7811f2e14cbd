"""Right and wrong answers to D4.I3c rebalance_together."""

import torch
from torch import distributed as dist

from checks.audit.answers import right, wrong
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import rebalance, update_bias

EQUIVALENT_MUTANTS = {
    "rows = real.reshape(-1).repeat_interleave(layer.num_segments) → "
    "rows = real.repeat_interleave(layer.num_segments)": "without a dimension it flattens",
}


def own_load(layer, real):
    """The load of this process's real tokens."""
    rows = real.reshape(-1).repeat_interleave(layer.num_segments)
    return expert_load(layer.last_experts[rows], len(layer.router.bias))


@right
def gathered(layer, real, step, group):
    """All loads gathered, then summed."""
    load = own_load(layer, real)
    loads = [torch.zeros_like(load) for _ in range(dist.get_world_size(group))]
    dist.all_gather(loads, load, group=group)
    whole = torch.stack(loads).sum(0)
    layer.router.bias.copy_(update_bias(layer.router.bias, whole, step))
    return whole


@right
def written_out(layer, real, step, group):
    """The rule of the sign, by hand."""
    load = own_load(layer, real)
    dist.all_reduce(load, op=dist.ReduceOp.SUM, group=group)
    mean = load.double().mean()
    layer.router.bias += step * torch.sign(mean - load).to(layer.router.bias.dtype)
    return load


@right
def with_rebalance_first(layer, real, step, group):
    """`rebalance` with a step of 0 gives this process's load; the bias moves afterwards."""
    load = rebalance(layer, real, 0.0)
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@right
def reduced_and_sent(layer, real, step, group):
    """Summed in the first process, which tells the others."""
    load = own_load(layer, real)
    dist.reduce(load, group_dst=0, group=group)
    dist.broadcast(load, group_src=0, group=group)
    layer.router.bias.data = update_bias(layer.router.bias, load, step)
    return load


@wrong
def alone(layer, real, step, group):
    """`rebalance` of each process."""
    return rebalance(layer, real, step)


@wrong
def load_of_all_bias_of_one(layer, real, step, group):
    """The load of all returns; the bias has moved by this process's own."""
    load = rebalance(layer, real, step)
    dist.all_reduce(load, group=group)
    return load


@wrong
def moves_summed(layer, real, step, group):
    """Each moves its bias, and the moves are summed."""
    bias, load = layer.router.bias, own_load(layer, real)
    move = update_bias(bias, load, step) - bias
    dist.all_reduce(move, group=group)
    bias += move
    dist.all_reduce(load, group=group)
    return load


@wrong
def biases_averaged(layer, real, step, group):
    """Each moves its bias; then the mean of the biases."""
    load = rebalance(layer, real, step)
    dist.all_reduce(layer.router.bias, group=group)
    layer.router.bias /= dist.get_world_size(group)
    dist.all_reduce(load, group=group)
    return load


@wrong
def padding_counts(layer, real, step, group):
    """All choices, also those of padding."""
    load = expert_load(layer.last_experts, len(layer.router.bias))
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def segments_forgotten(layer, real, step, group):
    """A mark per token, where there is a row per segment."""
    load = expert_load(layer.last_experts[: real.numel()][real.flatten()], len(layer.router.bias))
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def segments_tiled(layer, real, step, group):
    """The marks repeated as a whole, where each is repeated."""
    load = expert_load(
        layer.last_experts[real.flatten().repeat(layer.num_segments)], len(layer.router.bias)
    )
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def largest(layer, real, step, group):
    """The largest load of any process."""
    load = own_load(layer, real)
    dist.all_reduce(load, op=dist.ReduceOp.MAX, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def sign_turned(layer, real, step, group):
    """Busy experts get more."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, -step))
    return load


@wrong
def bias_replaced(layer, real, step, group):
    """A new tensor takes the place of the buffer."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    layer.router.bias = update_bias(layer.router.bias, load, step)
    return load


@wrong
def not_moved(layer, real, step, group):
    """The load alone."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    update_bias(layer.router.bias, load, step)
    return load


@wrong
def own_load_returns(layer, real, step, group):
    """The bias moves by all; the load of this process returns."""
    load = own_load(layer, real)
    whole = load.clone()
    dist.all_reduce(whole, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, whole, step))
    return load


@wrong
def moved_twice(layer, real, step, group):
    """Alone first, and then together."""
    load = rebalance(layer, real, step)
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def per_process(layer, real, step, group):
    """A step for each process."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    step = step * dist.get_world_size(group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def only_the_first(layer, real, step, group):
    """The first process moves its bias; the others keep theirs."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    if dist.get_rank(group) == 0:
        layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def only_with_tokens(layer, real, step, group):
    """A process without a token takes no part."""
    load = own_load(layer, real)
    if load.sum() > 0:
        dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load


@wrong
def averaged_load(layer, real, step, group):
    """The mean load of the processes, rounded."""
    load = own_load(layer, real)
    dist.all_reduce(load, group=group)
    load = load // dist.get_world_size(group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load
