"""Rows that travel between processes, with a gradient that travels back.

Letters: R rows that this process sends, M rows that it receives, n processes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch import distributed as dist
from torch.distributed import ProcessGroup


class _Exchange(torch.autograd.Function):
    """`all_to_all_single`, whose backward is the exchange in the other direction."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, send: Sequence[int], receive: Sequence[int], group: ProcessGroup
    ) -> Tensor:
        ctx.way_back = receive, send, group
        arrived = rows.new_empty(sum(receive), *rows.shape[1:])
        dist.all_to_all_single(arrived, rows.contiguous(), list(receive), list(send), group=group)
        return arrived

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _Exchange.apply(grads[0], *ctx.way_back), None, None, None


def exchange(
    rows: Shaped[Tensor, "R *row"],
    send: Sequence[int],
    receive: Sequence[int],
    group: ProcessGroup,
) -> Shaped[Tensor, "M *row"]:
    """The rows that the processes of `group` send to this one, those of rank 0 first.

    The first `send[0]` rows go to rank 0, the next `send[1]` to rank 1, and so on; `receive[r]`
    come from rank r. Every process of the group must call it, also one without a row, and then
    every process must walk back: where gradients are on, what returns always takes part in
    `backward`.
    """
    if rows.is_floating_point() and torch.is_grad_enabled() and not rows.requires_grad:
        rows = rows.detach().requires_grad_()
    return _Exchange.apply(rows, send, receive, group)
