"""Right answers to D3.3a QueryPath."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.rotations import (
    angles,
    by_complex,
    by_matrices,
    by_swapped_pairs,
    frequencies,
)
from helpers.model.llama import RMSNorm, rotate
from solutions.d3_mla import QueryPath


@right
class ViewedAndComplex(QueryPath):
    """DeepSeek's own lines: view, split, and a product of complex numbers."""

    def forward(self, x, start=0):
        bsz, seqlen, _ = x.shape
        q = self.q_up(x) if self.q_latent is None else self.q_up(self.q_norm(self.q_down(x)))
        q = q.view(bsz, seqlen, self.num_heads, self.d_head + self.d_rope)
        q_nope, q_pe = torch.split(q, [self.d_head, self.d_rope], dim=-1)
        turned = by_complex(q_pe, angles(q_pe, start, self.theta, self.angles))
        return q_nope * self.scale, turned * self.scale


@right
class RowsOfTheWeight(QueryPath):
    """Two products with the rows of q_up that are content and those that are rotary."""

    def forward(self, x, start=0):
        if hasattr(self, "q_down"):
            x = self.q_norm(self.q_down(x))
        rows = (self.scale * self.q_up.weight).unflatten(0, (self.num_heads, -1))
        content = F.linear(x, rows[:, : self.d_head].flatten(0, 1))
        rotary = F.linear(x, rows[:, self.d_head :].flatten(0, 1))
        content = content.unflatten(-1, (self.num_heads, self.d_head))
        rotary = rotary.unflatten(-1, (self.num_heads, self.d_rope))
        return content, rotate(rotary, start, self.theta, self.angles)


@right
class HeadByHead(QueryPath):
    """A loop over the heads, each with its own rows and its own rotation, stacked at last."""

    def forward(self, x, start=0):
        x = x if self.q_latent is None else self.q_norm(self.q_down(x))
        contents, rotaries = [], []
        for rows in self.q_up.weight.chunk(self.num_heads):
            q = self.scale * (x @ rows.T)
            contents.append(q[..., : self.d_head])
            alone = q[..., self.d_head :].unsqueeze(2)
            rotaries.append(rotate(alone, start, self.theta, self.angles).squeeze(2))
        return torch.stack(contents, dim=2), torch.stack(rotaries, dim=2)


@right
class EinsumAndMatrices(QueryPath):
    """One einsum over the weight as (H, d + r, D), and a 2×2 matrix for each pair."""

    def forward(self, x, start=0):
        x = x if self.q_latent is None else self.q_norm(self.q_down(x))
        weight = self.q_up.weight.reshape(self.num_heads, self.d_head + self.d_rope, -1)
        q = torch.einsum("blc,hwc->blhw", x * self.scale, weight)
        content, rotary = q.tensor_split([self.d_head], dim=-1)
        return content, by_matrices(rotary, angles(rotary, start, self.theta, self.angles))


@right
class HeadsFirst(QueryPath):
    """Heads before positions while it works, as in most attention code, and back at the end."""

    def forward(self, x, start=0):
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        q = self.q_up(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, L, d + r)
        q = torch.mul(q, self.scale)
        content, rotary = q[..., : self.d_head], q[..., self.d_head :]
        rotary = rotate(rotary.unsqueeze(-2), start, self.theta, self.angles).squeeze(-2)
        return content.transpose(1, 2), rotary.transpose(1, 2)


@right
class PositionByPosition(QueryPath):
    """A loop over the positions, each rotated alone from its own start."""

    def forward(self, x, start=0):
        if self.q_latent:
            x = self.q_norm(self.q_down(x))
        queries = self.q_up(x).unflatten(-1, (self.num_heads, self.d_head + self.d_rope))
        turned = [
            rotate(queries[:, i : i + 1, :, self.d_head :], start + i, self.theta, self.angles)
            for i in range(x.shape[1])
        ]
        scale = self.scale
        return scale * queries[..., : -self.d_rope], scale * torch.cat(turned, dim=1)


@right
class TokensInOneLine(QueryPath):
    """Batch and positions in one dimension up to the split; new tensors written in place."""

    def forward(self, x, start=0):
        batch, length = x.shape[:2]
        tokens = x.reshape(batch * length, -1)
        if self.q_latent is not None:
            tokens = self.q_norm(self.q_down(tokens))
        q = self.q_up(tokens).reshape(batch, length, self.num_heads, -1)
        rotary = q[..., self.d_head :]
        angle = angles(rotary, start, self.theta, self.angles)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        turned = torch.empty_like(rotary)
        turned[..., 0::2] = rotary[..., 0::2] * cos - rotary[..., 1::2] * sin
        turned[..., 1::2] = rotary[..., 1::2] * cos + rotary[..., 0::2] * sin
        return q[..., : self.d_head] * self.scale, turned * self.scale


@right
class StandingAlone(nn.Module):
    """A class of its own from an older notebook, without angles and scale; norm written out."""

    def __init__(self, d_model, num_heads, d_head, d_rope, *, q_latent=None, theta=10_000.0):
        super().__init__()
        self.shape, self.d_head, self.theta = (num_heads, d_head + d_rope), d_head, theta
        if q_latent is not None:
            self.q_down = nn.Linear(d_model, q_latent, bias=False)
            self.q_norm = RMSNorm(q_latent)
        self.q_up = nn.Linear(q_latent or d_model, num_heads * (d_head + d_rope), bias=False)

    def forward(self, x, start=0):
        if hasattr(self, "q_norm"):
            c = self.q_down(x)
            square = c.square().mean(dim=-1, keepdim=True)
            x = c * torch.rsqrt(square + self.q_norm.eps) * self.q_norm.weight
        q = self.q_up(x)
        q = q.reshape(*q.shape[:-1], *self.shape)
        rotary = q[..., self.d_head :]
        return q[..., : self.d_head], by_swapped_pairs(rotary, angles(rotary, start, self.theta))


@right
class RowsByNumber(QueryPath):
    """The numbers of the content rows and of the rotary rows, picked by indexing."""

    def forward(self, x, start=0):
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        numbers = torch.arange(self.q_up.out_features).view(self.num_heads, -1)
        q = self.q_up(x)
        content, rotary = q[..., numbers[:, : self.d_head]], q[..., numbers[:, self.d_head :]]
        rotary = rotate(rotary, start=start, theta=self.theta, angles=self.angles)
        return content * self.scale, rotary * self.scale


@right
class SettingsByName(QueryPath):
    """A constructor that takes all settings as they come, and turns by the given angles alone."""

    def __init__(self, *sizes, theta=10_000.0, angles=None, scale=1.0, **more):
        super().__init__(*sizes, theta=theta, **more)
        self.turns, self.factor = frequencies(self.d_rope, theta, angles), scale

    def forward(self, x, start=0):
        content, rotary = super().forward(x * self.factor if self.q_latent is None else x)
        if self.q_latent is not None:
            content, rotary = content * self.factor, rotary * self.factor
        unturned = rotate(rotary, 0, angles=-frequencies(self.d_rope, self.theta, None))
        return content, rotate(unturned, start, angles=self.turns)
