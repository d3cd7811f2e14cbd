"""Right answers to D3.3b JointLatent."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.llama import RMSNorm
from solutions.d3_mla import JointLatent


@right
class ViewedAndSplit(JointLatent):
    """DeepSeek's own lines: view, then torch.split."""

    def down(self, x):
        kv = self.kv_down(x)
        kv = self.kv_norm(kv)
        return kv

    def up(self, latent):
        bsz, end_pos, _ = latent.shape
        kv = self.kv_up(latent)
        kv = kv.view(bsz, end_pos, self.num_heads, self.d_head + self.d_value)
        return torch.split(kv, [self.d_head, self.d_value], dim=-1)


@right
class RowsOfTheWeight(JointLatent):
    """W_UK and W_UV cut out of kv_up, each multiplied alone."""

    def down(self, x):
        return F.rms_norm(
            F.linear(x, self.kv_down.weight),
            (self.kv_down.out_features,),
            self.kv_norm.weight,
            self.kv_norm.eps,
        )

    def up(self, latent):
        rows = self.kv_up.weight.view(self.num_heads, self.d_head + self.d_value, -1)
        W_UK, W_UV = rows[:, : self.d_head].flatten(0, 1), rows[:, self.d_head :].flatten(0, 1)
        keys, values = latent @ W_UK.T, latent @ W_UV.T
        heads = (self.num_heads, -1)
        return keys.unflatten(-1, heads), values.unflatten(-1, heads)


@right
class HeadByHead(JointLatent):
    """A loop over the heads' rows, stacked at last."""

    def down(self, x):
        return self.kv_norm(x @ self.kv_down.weight.T)

    def up(self, latent):
        keys, values = [], []
        for rows in self.kv_up.weight.chunk(self.num_heads):
            keys.append(F.linear(latent, rows[: self.d_head]))
            values.append(F.linear(latent, rows[self.d_head :]))
        return torch.stack(keys, dim=-2), torch.stack(values, dim=-2)


@right
class EinsumOverHeads(JointLatent):
    """One einsum for the keys and one for the values."""

    def down(self, x):
        return self.kv_norm(torch.einsum("bld,rd->blr", x, self.kv_down.weight))

    def up(self, latent):
        weight = self.kv_up.weight.unflatten(0, (self.num_heads, -1))
        keys = torch.einsum("bsr,hdr->bshd", latent, weight.narrow(1, 0, self.d_head))
        values = torch.einsum("bsr,hvr->bshv", latent, weight.narrow(1, self.d_head, self.d_value))
        return keys, values


@right
class NormWrittenOut(JointLatent):
    """The root mean square by hand; slices where others split."""

    def down(self, x):
        latent = self.kv_down(x)
        square = latent.pow(2).mean(-1, keepdim=True)
        return self.kv_norm.weight * latent / (square + self.kv_norm.eps).sqrt()

    def up(self, latent):
        both = self.kv_up(latent).reshape(*latent.shape[:-1], self.num_heads, -1)
        return both[..., : self.d_head], both[..., self.d_head :]


@right
class HeadsFirst(JointLatent):
    """A batched product with heads before positions, and back by a transpose."""

    def down(self, x):
        return self.kv_norm(self.kv_down(x.flatten(0, 1))).unflatten(0, x.shape[:2])

    def up(self, latent):
        weight = self.kv_up.weight.unflatten(0, (self.num_heads, -1))
        both = latent.unsqueeze(1) @ weight.mT  # (B, H, S, d + v)
        keys, values = both.tensor_split([self.d_head], dim=-1)
        return keys.transpose(1, 2), values.transpose(1, 2)


@right
class RowsByNumber(JointLatent):
    """The numbers of the key rows and of the value rows, picked by indexing."""

    def down(self, x):
        return self.kv_norm(self.kv_down(x))

    def up(self, latent):
        numbers = torch.arange(self.kv_up.out_features).view(self.num_heads, -1)
        both = self.kv_up(latent)
        return both[..., numbers[:, : self.d_head]], both[..., numbers[:, self.d_head :]]


@right
class PositionByPosition(JointLatent):
    """A loop over the positions, stacked along them."""

    def down(self, x):
        return torch.stack([self.kv_norm(self.kv_down(token)) for token in x.unbind(1)], dim=1)

    def up(self, latent):
        rows = [self.kv_up(row).view(len(row), self.num_heads, -1) for row in latent.unbind(1)]
        keys = torch.stack([row[..., : -self.d_value] for row in rows], dim=1)
        return keys, torch.stack([row[..., -self.d_value :] for row in rows], dim=1)


@right
class StandingAlone(nn.Module):
    """A class of its own with the given parameters; key and value pieces of each head in turn."""

    def __init__(self, d_model, num_heads, d_head, d_value, d_latent):
        super().__init__()
        self.num_heads, self.d_head, self.d_value = num_heads, d_head, d_value
        self.widths = [d_head, d_value]
        self.kv_down = nn.Linear(d_model, d_latent, bias=False)
        self.kv_norm = RMSNorm(d_latent)
        self.kv_up = nn.Linear(d_latent, num_heads * sum(self.widths), bias=False)

    def down(self, x):
        return self.kv_norm(self.kv_down(x))

    def up(self, latent):
        pieces = self.kv_up(latent).split(self.widths * self.num_heads, dim=-1)
        return torch.stack(pieces[0::2], dim=2), torch.stack(pieces[1::2], dim=2)
