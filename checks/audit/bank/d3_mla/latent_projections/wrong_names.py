"""Wrong answers to D3.1 LatentProjections: weights of other names, and another type."""

import torch
from torch import nn

from checks.audit.answers import wrong
from solutions.d3_mla import LatentProjections


@wrong
class OtherNames(nn.Module):
    """The maps have names of their own, and head h takes every num_heads-th row."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__()
        self.heads = d_head, num_heads
        self.squeeze = nn.Linear(d_model, 2 * d_latent, bias=False)
        self.expand_k = nn.Linear(d_latent, num_heads * d_head, bias=False)
        self.expand_v = nn.Linear(d_latent, num_heads * d_head, bias=False)

    def down(self, x):
        return self.squeeze(x).chunk(2, dim=-1)

    def up(self, k, v):
        expanded = self.expand_k(k), self.expand_v(v)
        return tuple(part.unflatten(-1, self.heads).mT for part in expanded)


@wrong
class WidenedLatents(LatentProjections):
    """The latents come back in float32 where x is narrower."""

    def down(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        return tuple(part.to(wide) for part in super().down(x))
