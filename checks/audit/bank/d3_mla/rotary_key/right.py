"""Right answers to D3.3c RotaryKey."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.rotations import angles, by_complex, by_matrices, by_swapped_pairs
from helpers.model.llama import rotate
from solutions.d3_mla import RotaryKey


@right
class IndexedAsOneHead(RotaryKey):
    """A head put in and taken out by indexing."""

    def forward(self, x, start=0):
        return rotate(self.k_down(x)[:, :, None, :], start, self.theta, self.angles)[:, :, 0]


@right
class ComplexProduct(RotaryKey):
    """DeepSeek's own lines: a product of complex numbers."""

    def forward(self, x, start=0):
        key = self.k_down(x).unsqueeze(2)
        return by_complex(key, angles(key, start, self.theta, self.angles)).squeeze(2)


@right
class BatchAsHeads(RotaryKey):
    """(L, B, r): the sequences stand where rotate wants heads."""

    def forward(self, x, start=0):
        return rotate(self.k_down(x).transpose(0, 1), start, self.theta, self.angles).transpose(
            0, 1
        )


@right
class MatrixForEachPair(RotaryKey):
    """A 2×2 matrix for each position and pair, by einsum."""

    def forward(self, x, start=0):
        key = F.linear(x, self.k_down.weight).view(*x.shape[:2], 1, -1)
        return by_matrices(key, angles(key, start, self.theta, self.angles)).flatten(-2)


@right
class PositionByPosition(RotaryKey):
    """A loop over the positions, each rotated from its own start."""

    def forward(self, x, start=0):
        rows = [
            rotate(
                self.k_down(x[:, i : i + 1]).unsqueeze(1), start + i, self.theta, self.angles
            ).squeeze(1)
            for i in range(x.shape[1])
        ]
        return torch.cat(rows, dim=1)


@right
class SequenceBySequence(RotaryKey):
    """A loop over the batch, with no batch dimension left for rotate."""

    def forward(self, x, start=0):
        keys = [
            rotate(k.unsqueeze(1), start, self.theta, self.angles).squeeze(1)
            for k in self.k_down(x)
        ]
        return torch.stack(keys)


@right
class TurnedInTwoSteps(RotaryKey):
    """Turned by the place within x, then all together by start: angles add up."""

    def forward(self, x, start=0):
        key = rotate(self.k_down(x).unsqueeze(-2), theta=self.theta, angles=self.angles)
        one = angles(key[:, :1], start, self.theta, self.angles)
        return by_swapped_pairs(key, one).squeeze(-2)


@right
class WeightTurned(RotaryKey):
    """The weight's rows turned for each position, (L, r, D), in place of the key."""

    def forward(self, x, start=0):
        weight = self.k_down.weight.T.expand(x.shape[1], -1, -1)  # (L, D, r): D as heads
        turned = rotate(weight, start, self.theta, self.angles)
        return torch.einsum("bld,ldr->blr", x, turned)


@right
class StandingAlone(nn.Module):
    """A class of its own from an older notebook, without angles; the rotation written out."""

    def __init__(self, d_model, d_rope, *, theta=10_000.0):
        super().__init__()
        self.k_down = nn.Linear(d_model, d_rope, bias=False)
        pairs = torch.arange(0, d_rope, 2, dtype=torch.float64)
        self.angles = [theta ** (-pair / d_rope) for pair in pairs.tolist()]

    def forward(self, x, start=0):
        key = self.k_down(x)
        at = torch.arange(x.shape[1], dtype=torch.float64) + start
        columns = []
        for i, angle in enumerate(self.angles):
            cos, sin = (at * angle).cos().to(key), (at * angle).sin().to(key)
            a, b = key[..., 2 * i], key[..., 2 * i + 1]
            columns += [a * cos - b * sin, a * sin + b * cos]
        return torch.stack(columns, dim=-1)
