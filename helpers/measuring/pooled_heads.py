"""Key-value heads merged by their mean, which is how GQA converts a trained attention.

Letters: B batch, L positions, D = d_model, H heads, G groups, d head width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PooledHeads(nn.Module):
    """Keys and values of `groups` heads, each the mean of the heads that it stands for.

    What `down` returns would be cached, 2·G·d numbers per token; `up` gives each of the `num_heads`
    heads the key and value of its group (arXiv 2305.13245, section 2.1). One group is MQA. The
    weights are as `nn.Linear` holds them, of all heads, and can be trained further.
    """

    def __init__(
        self, W_K: Float[Tensor, "W D"], W_V: Float[Tensor, "W D"], num_heads: int, groups: int
    ):
        super().__init__()
        if num_heads % groups:
            raise ValueError(f"groups must divide num_heads={num_heads}, got {groups}")
        self.shared = num_heads // groups
        self.keys, self.values = (
            nn.Parameter(_pooled(weight, num_heads, groups)) for weight in (W_K, W_V)
        )

    def down(self, x: Float[Tensor, "B L D"]) -> tuple[Float[Tensor, "B L G d"], ...]:
        keys = torch.einsum("bld,ghd->blgh", x, self.keys)
        return keys, torch.einsum("bld,ghd->blgh", x, self.values)

    def up(
        self, k: Float[Tensor, "B L G d"], v: Float[Tensor, "B L G d"]
    ) -> tuple[Float[Tensor, "B L H d"], ...]:
        return k.repeat_interleave(self.shared, dim=-2), v.repeat_interleave(self.shared, dim=-2)


def _pooled(weight: Tensor, num_heads: int, groups: int) -> Float[Tensor, "G d D"]:
    by_group = weight.detach().unflatten(0, (groups, num_heads // groups, -1))
    return by_group.mean(dim=1)
