"""The memory of a model, measured on its tensors: weights, caches, and what training keeps.

Letters: B batch, L positions.
"""

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F


def weight_bytes(model: nn.Module) -> int:
    """The bytes of all parameters and buffers, a shared one counted once."""
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(tensor.nbytes for tensor in tensors.values())


def activation_bytes(model: nn.Module, ids: Int[Tensor, "B L"]) -> int:
    """The bytes that autograd keeps between the forward and the backward pass of one batch.

    Each block of memory counts once, and weights do not count.
    """
    weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # the tensors stay alive, so no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        if (where := tensor.untyped_storage().data_ptr()) not in weights:
            kept[where] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(ids[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def standard_cache_bytes(num_layers: int, d_model: int, tokens: int, itemsize: int = 4) -> int:
    """The bytes of a standard transformer's keys and values for `tokens` positions."""
    return 2 * num_layers * d_model * tokens * itemsize
