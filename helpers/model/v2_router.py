"""V2's choice of experts, which V3 changed: groups by their best expert, no bias."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class V2Router(nn.Module):
    """A softmax over all experts; the `top_k` best of the `top_groups` groups whose best expert is
    best (V2p, section 2.2.2; `group_limited_greedy`).

    Gates are the affinities themselves, times `scale`. `bias` is zero and takes no part.
    """

    bias: Tensor

    def __init__(
        self,
        d_model: int,
        num_experts: int,
        top_k: int,
        *,
        num_groups: int,
        top_groups: int,
        scale: float,
    ):
        super().__init__()
        self.top_k, self.scale = top_k, scale
        self.num_groups, self.top_groups = num_groups, top_groups
        self.gate = nn.Linear(d_model, num_experts, bias=False)
        self.register_buffer("bias", torch.zeros(num_experts))

    def forward(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T K"], Int[Tensor, "T K"]]:
        wide = torch.promote_types(x.dtype, torch.float32)
        scores = (x.to(wide) @ self.gate.weight.to(wide).T).softmax(dim=-1)
        groups = scores.unflatten(-1, (self.num_groups, -1))
        best = groups.amax(dim=-1).topk(self.top_groups, dim=-1).indices
        dropped = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter(1, best, False)
        kept = groups.masked_fill(dropped[..., None], 0.0).flatten(1)
        experts = kept.topk(self.top_k, dim=-1).indices
        return (self.scale * scores.gather(1, experts)).to(x.dtype), experts
