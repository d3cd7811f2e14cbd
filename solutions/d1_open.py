"""D1, the reference's answer to the open task: one way among many.

Letters: T tokens, D = d_model, E = num_experts, K = top_k, C the longest run of rows.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from helpers.model.interfaces import ExpertList


def fast_dispatch(
    x: Float[Tensor, "T D"],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    expert_array: ExpertList,
) -> Float[Tensor, "T D"]:
    """The same as `dispatch_combine`, with its gradients, as fast as you can.

    Each `expert_array[i]` is a SwiGLU, and its weights may be read: `gate.weight` and `up.weight`,
    `(F, D)`, and `down.weight`, `(D, F)`. They may be others at the next call.
    """
    # BEGIN SOLUTION
    flat, order = experts.flatten().sort()
    token, load = order // experts.shape[1], torch.bincount(flat, minlength=len(expert_array))
    place = torch.arange(len(flat)) - (load.cumsum(0) - load)[flat]  # within its expert's run
    rows = x.new_zeros(len(load), int(load.max()), x.shape[1])  # (E, C, D), short runs end in 0
    rows[flat, place] = x[token]
    each: list[Any] = [expert_array[i] for i in range(len(expert_array))]
    gate = rows @ torch.stack([expert.gate.weight for expert in each]).mT
    up = rows @ torch.stack([expert.up.weight for expert in each]).mT
    out = (F.silu(gate) * up) @ torch.stack([expert.down.weight for expert in each]).mT
    weighted = gates.flatten()[order, None] * out[flat, place]
    return torch.zeros_like(x).index_add(0, token, weighted)
    # END SOLUTION
