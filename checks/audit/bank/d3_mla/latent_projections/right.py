"""Right answers to D3.1 LatentProjections."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.attention_sizes import validate_sizes
from solutions.d3_mla import LatentProjections


@right
class Reshaped(LatentProjections):
    """Heads cut off by reshape with every size named."""

    def down(self, x):
        k = self.k_down(x)
        v = self.v_down(x)
        return k, v

    def up(self, k, v):
        batch, seen, _ = k.shape
        d_head = self.k_up.out_features // self.num_heads
        keys = self.k_up(k).reshape(batch, seen, self.num_heads, d_head)
        values = self.v_up(v).reshape(batch, seen, self.num_heads, d_head)
        return keys, values


@right
class WeightsPerHead(LatentProjections):
    """einsum over weights that are cut into heads."""

    def down(self, x):
        return tuple(
            torch.einsum("bld,rd->blr", x, part.weight) for part in (self.k_down, self.v_down)
        )

    def up(self, k, v):
        W_UK = self.k_up.weight.unflatten(0, (self.num_heads, -1))
        W_UV = self.v_up.weight.unflatten(0, (self.num_heads, -1))
        return torch.einsum("bsr,hdr->bshd", k, W_UK), torch.einsum("bsr,hdr->bshd", v, W_UV)


@right
class OneProductForBoth(LatentProjections):
    """The weights of keys and values under each other, one product, then halves."""

    def down(self, x):
        weight = torch.cat([self.k_down.weight, self.v_down.weight])
        k, v = F.linear(x, weight).chunk(2, dim=-1)
        return k, v

    def up(self, k, v):
        weight = torch.block_diag(self.k_up.weight, self.v_up.weight)
        both = F.linear(torch.cat([k, v], dim=-1), weight).unflatten(-1, (2, self.num_heads, -1))
        return both[..., 0, :, :], both[..., 1, :, :]


@right
class HeadsStacked(LatentProjections):
    """Equal chunks of the width, stacked on a new axis before the last."""

    def up(self, k, v):
        keys = torch.stack(self.k_up(k).chunk(self.num_heads, dim=-1), dim=-2)
        values = torch.stack(self.v_up(v).chunk(self.num_heads, dim=-1), dim=-2)
        return keys, values

    def down(self, x):
        latents = [project(x) for project in (self.k_down, self.v_down)]
        return latents[0], latents[1]


@right
class HeadByHead(LatentProjections):
    """A loop over the heads, each with its own rows of the weight, copied into its place."""

    def down(self, x):
        return x @ self.k_down.weight.T, x @ self.v_down.weight.T

    def _heads(self, latent, weight):
        width = len(weight) // self.num_heads
        y = latent.new_zeros(*latent.shape[:2], self.num_heads, width)
        for head in range(self.num_heads):
            y[:, :, head] = latent @ weight[head * width : (head + 1) * width].T
        return y

    def up(self, k, v):
        return self._heads(k, self.k_up.weight), self._heads(v, self.v_up.weight)


@right
class PositionByPosition(LatentProjections):
    """A loop over the positions, stacked along the sequence."""

    def down(self, x):
        rows = [(self.k_down(token), self.v_down(token)) for token in x.unbind(1)]
        return tuple(torch.stack(part, dim=1) for part in zip(*rows, strict=True))

    def up(self, k, v):
        shape = len(k), self.num_heads, -1
        keys = [self.k_up(token).reshape(shape) for token in k.unbind(1)]
        values = [self.v_up(token).reshape(shape) for token in v.unbind(1)]
        return torch.stack(keys, dim=1), torch.stack(values, dim=1)


@right
class HeadsFirstAndBack(LatentProjections):
    """All rows in one matrix, heads moved to the front and back again."""

    def down(self, x):
        rows, shape = x.flatten(0, 1), x.shape[:2]
        return self.k_down(rows).unflatten(0, shape), self.v_down(rows).unflatten(0, shape)

    def up(self, k, v):
        size = len(k), k.shape[1], self.num_heads, -1
        keys = self.k_up(k.flatten(0, 1)).reshape(size).transpose(1, 2)
        values = self.v_up(v.flatten(0, 1)).reshape(size).transpose(1, 2)
        return keys.transpose(1, 2), values.transpose(1, 2)


@right
class WrittenAnew(nn.Module):
    """A constructor of one's own that gives the weights the same names."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__()
        validate_sizes(d_model=d_model, d_latent=d_latent, num_heads=num_heads, d_head=d_head)
        self.shape = num_heads, d_head
        for name in ("k", "v"):
            self.add_module(f"{name}_down", nn.Linear(d_model, d_latent, bias=False))
            self.add_module(f"{name}_up", nn.Linear(d_latent, num_heads * d_head, bias=False))

    def down(self, x):
        return self.k_down(x), self.v_down(x)

    def up(self, k, v):
        return self.k_up(k).unflatten(-1, self.shape), self.v_up(v).unflatten(-1, self.shape)
