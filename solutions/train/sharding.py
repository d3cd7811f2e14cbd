"""FSDP2 over a model whose experts lie on several processes, and its gradient's norm."""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from helpers.measuring.traffic import layers_of
from solutions.train.processes import Processes


def shard(model: nn.Module, processes: Processes, dtype: torch.dtype) -> None:
    """Each process keeps its share of every weight; gradients are summed, not averaged.

    An expert is shared out among the processes that hold it, all else among all. Products run in
    `dtype`, sums over processes and the optimiser in float32.
    """
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in layers_of(model):
        for i in range(len(layer.experts)):
            _shard(layer.experts[i], processes.copies, policy)
    blocks: Any = model.blocks
    for block in blocks:
        _shard(block, processes.every, policy)
    _shard(model, processes.every, policy)


def _shard(module: nn.Module, mesh: Any, policy: MixedPrecisionPolicy) -> None:
    sharded = fully_shard(module, mesh=mesh, mp_policy=policy)
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(True)  # gloo has no sum that divides


def clip(model: nn.Module, longest: float) -> Tensor:
    """Scales the gradient of the whole model to norm `longest` where it is longer; its norm before.

    Every process holds other parts of it: their squares are summed over all.
    """
    found: list[Any] = [p.grad for p in model.parameters() if p.grad is not None]
    grads = [grad.to_local() for grad in found]
    square = torch.stack([grad.float().pow(2).sum() for grad in grads]).sum()
    dist.all_reduce(square)
    norm = square.sqrt()
    factor = (longest / (norm + 1e-6)).clamp(max=1.0)  # as nn.utils.clip_grad_norm_ does
    for grad in grads:
        grad.mul_(factor.to(grad.dtype))
    return norm
