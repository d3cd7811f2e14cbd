"""Wrong answers to D3.3a QueryPath: settings of one branch, and tables that end."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.rotations import table_of, turned_by
from helpers.model.llama import rotate
from solutions.d3_mla import QueryPath


def _parts(path, q):
    q = q.unflatten(-1, (path.num_heads, -1))
    return q.split([path.d_head, path.d_rope], dim=-1)


@wrong
class ScaleOnlyWithALatent(QueryPath):
    """The scale is forgotten where there is no query latent."""

    def forward(self, x, start=0):
        if self.q_latent is not None:
            q = self.scale * self.q_up(self.q_norm(self.q_down(x)))
        else:
            q = self.q_up(x)
        content, rotary = _parts(self, q)
        return content, rotate(rotary, start, self.theta, self.angles)


@wrong
class ThetaOnlyWithALatent(QueryPath):
    """Theta and angles are forgotten where there is no query latent."""

    def forward(self, x, start=0):
        if self.q_latent is not None:
            return super().forward(x, start)
        content, rotary = _parts(self, self.scale * self.q_up(x))
        return content, rotate(rotary, start)


@wrong
class TableOf64Positions(QueryPath):
    """The rotations of 64 positions are made in the constructor."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.table = table_of(self, self.d_rope, 64)

    def forward(self, x, start=0):
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        content, rotary = _parts(self, self.scale * self.q_up(x))
        return content, turned_by(rotary, self.table[start : start + x.shape[1], None])


@wrong
class StaysAtTheTablesEnd(TableOf64Positions):
    """Positions behind a table of 64 are turned as its last one is."""

    def forward(self, x, start=0):
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        content, rotary = _parts(self, self.scale * self.q_up(x))
        places = torch.arange(start, start + x.shape[1]).clamp(max=63)
        return content, turned_by(rotary, self.table[places, None])


@wrong
class ScaleIntoTheWeight(QueryPath):
    """The scale is multiplied into q_up in place: right once, and squared at the second call."""

    def forward(self, x, start=0):
        self.q_up.weight.data.mul_(self.scale)
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        content, rotary = _parts(self, self.q_up(x))
        return content, rotate(rotary, start, self.theta, self.angles)
