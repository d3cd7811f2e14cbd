"""Wrong answers to D3.3b JointLatent: sizes that are not kept by name, and another type."""

import torch
from torch import nn

from checks.audit.answers import wrong
from helpers.model.llama import RMSNorm
from solutions.d3_mla import JointLatent


@wrong
class SizesNotKept(nn.Module):
    """The three sizes are kept in one tuple, where D3.4 does not find them."""

    def __init__(self, d_model, num_heads, d_head, d_value, d_latent):
        super().__init__()
        self.sizes = num_heads, d_head, d_value
        self.kv_down = nn.Linear(d_model, d_latent, bias=False)
        self.kv_norm = RMSNorm(d_latent)
        self.kv_up = nn.Linear(d_latent, num_heads * (d_head + d_value), bias=False)

    def down(self, x):
        return self.kv_norm(self.kv_down(x))

    def up(self, latent):
        heads, d_head, d_value = self.sizes
        both = self.kv_up(latent).unflatten(-1, (heads, -1))
        return both.split([d_head, d_value], dim=-1)


@wrong
class BothWidthsAsTheHeads(JointLatent):
    """self.d_head holds the width of key and value together."""

    def __init__(self, d_model, num_heads, d_head, d_value, d_latent):
        super().__init__(d_model, num_heads, d_head, d_value, d_latent)
        self.d_head = d_head + d_value

    def up(self, latent):
        both = self.kv_up(latent).unflatten(-1, (self.num_heads, -1))
        return both.split([self.d_head - self.d_value, self.d_value], dim=-1)


@wrong
class WidenedLatent(JointLatent):
    """The latent comes back in float32 where x is narrower."""

    def down(self, x):
        latent = super().down(x)
        return latent.to(torch.promote_types(x.dtype, torch.float32))


@wrong
class NormAddedToTheLatent(JointLatent):
    """The normed latent beside a residual."""

    def down(self, x):
        latent = self.kv_down(x)
        return latent + self.kv_norm(latent)
