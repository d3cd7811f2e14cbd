"""The memory of one training step, measured on its tensors: what stays, and what is kept for it.

Letters: B batch, L positions, V vocabulary.
"""

from copy import deepcopy

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.measuring.memory import activation_bytes, weight_bytes


def training_bytes(model: nn.Module, ids: Int[Tensor, "B L"]) -> dict[str, int]:
    """The bytes of a step of AdamW on `ids`: weights, gradients, Adam's moments, what is kept.

    The step is made on a copy. An expert that no token of `ids` chooses has neither gradient nor
    moments yet. `ids` are token ids; a model maps them to logits `(B, L, V)`.
    """
    trained = deepcopy(model)
    optimizer = torch.optim.AdamW(trained.parameters())
    logits = trained(ids[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    optimizer.step()
    moments = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if name in ("exp_avg", "exp_avg_sq")
    ]
    return {
        "weights": weight_bytes(trained),
        "gradients": sum(p.grad.nbytes for p in trained.parameters() if p.grad is not None),
        "Adam's two moments": sum(moment.nbytes for moment in moments),
        "kept for the backward pass": activation_bytes(model, ids),
    }
