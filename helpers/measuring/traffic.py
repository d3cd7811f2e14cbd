"""Which experts a model sends its tokens to, read from every layer after one forward pass.

Letters: B batch, L positions, K = top_k, E = num_experts, N domains.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def layers_of(model: nn.Module) -> list[Any]:
    """The layers with experts of a `Decoder` or `DeepSeek`, first to last: those with a router.

    Their class may be a learner's own, so their type is open.
    """
    blocks: Any = model.blocks
    return [block.ffn for block in blocks if hasattr(block.ffn, "router")]


@torch.no_grad()
def chosen_experts(model: nn.Module, ids: Int[Tensor, "B L"]) -> list[Int[Tensor, "rows K"]]:
    """What each layer's router chooses for every token of `ids`, one tensor per layer."""
    model(ids)
    return [layer.last_experts for layer in layers_of(model)]


def relative_load(
    experts: Int[Tensor, "rows K"],
    groups: Sequence[int] | Int[Tensor, " rows"],
    num_groups: int,
    num_experts: int,
) -> Float[Tensor, "N E"]:
    """Each expert's load within each group of rows, 1.0 for the even share.

    `groups[r]` is the group of row r: its domain, or its segment.
    """
    group = torch.as_tensor(groups, device=experts.device)
    if len(group) != len(experts):
        raise ValueError(f"groups must name one group per row, {len(experts)}, got {len(group)}")
    cell = group[:, None] * num_experts + experts  # (rows, K)
    counts = torch.bincount(cell.flatten(), minlength=num_groups * num_experts)
    counts = counts.view(num_groups, num_experts).float()
    return counts / counts.mean(dim=1, keepdim=True).clamp(min=1e-9)
