"""Right for one text, one cache or one size, and wrong for the next."""

from typing import ClassVar

import torch

from checks.answers.bank import Bank
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention, attend

bank = Bank("d3_mla")


@bank.wrong("D3.3e")
class CountsItself(MultiHeadLatentAttention):
    """Positions are counted in the layer, from the last empty cache on, not read from the cache."""

    def forward(self, x, cache=None):
        if cache is None or len(cache) == 0:
            self.seen = 0
        start = self.seen
        self.seen = start + x.shape[1]
        q_content, q_rotary = self.queries(x, start)
        latent, k_rotary = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, k_rotary = cache.append(latent, k_rotary)
        k_content, values = self.latent.up(latent)
        return self.out(attend(q_content, q_rotary, k_content, k_rotary, values).flatten(-2))


def decode(attention, x, cache, start, shown=None):
    """One absorbed step at position `start`; `shown` is put in place of the newest latent."""
    part = attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = cache.append(part.down(x), attention.rotary_key(x, start))
    if shown is not None:
        latent = torch.cat([latent[:, :-1], shown], dim=1)
    weights = part.kv_up.weight.unflatten(0, (part.num_heads, -1))
    W_UK, W_UV = weights.split([part.d_head, part.d_value], dim=1)
    q_latent = torch.einsum("blhd,hdR->blhR", q_content, W_UK)
    scores = torch.einsum("blhR,bsR->bhls", q_latent, latent)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    scores = scores / (part.d_head + q_rotary.shape[-1]) ** 0.5
    mixed = torch.einsum("bhls,bsR->blhR", scores.softmax(-1), latent)
    return attention.out(torch.einsum("blhR,hvR->blhv", mixed, W_UV).flatten(-2))


@bank.wrong("D3.4")
def remembers_its_first_position(attention, x, cache):
    """The position of the first step is kept in the attention and used for all that follow."""
    if not hasattr(attention, "first_position"):
        attention.first_position = len(cache)
    return decode(attention, x, cache, attention.first_position)


@bank.wrong("D3.2")
class PoolOfBuffers(LatentCache):
    """Buffers are kept for the next cache of the same sizes, also while the first is in use."""

    pool: ClassVar[dict] = {}

    def append(self, *parts):
        key = self.batch, self.capacity, self.widths, parts[0].dtype
        fresh = not self.buffers
        views = super().append(*parts)
        if fresh:
            used = [view.clone() for view in views]
            self.buffers = self.pool.setdefault(key, self.buffers)
            for buffer, rows in zip(self.buffers, used, strict=True):
                buffer[:, : self.used] = rows
        return tuple(buffer[:, : self.used] for buffer in self.buffers)


@bank.wrong("D3.2")
class PushesToTheRight(LatentCache):
    """The newest rows stand at the right end, and all older ones move left in place."""

    def append(self, *parts):
        before = self.used
        views = super().append(*parts)
        length, first = self.used - before, self.capacity - self.used
        if not hasattr(self, "pushed"):
            self.pushed = [buffer.clone() for buffer in self.buffers]
        for pushed, view in zip(self.pushed, views, strict=True):
            pushed[:, first : self.capacity - length] = pushed[:, first + length :].clone()
            pushed[:, self.capacity - length :] = view[:, before:]
        return tuple(pushed[:, first:] for pushed in self.pushed)


@bank.wrong("D3.I1")
def of_the_axes(outputs):
    """Squared lengths along the axes, not along the best directions."""
    squares = (outputs**2).sum(0 if len(outputs) >= outputs.shape[1] else 1)
    squares = squares.sort(descending=True).values
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def without_small_ones(outputs):
    """Singular values below 0.01 are taken for noise, whatever the size of the rest."""
    values = torch.linalg.svdvals(outputs)
    squares = torch.where(values < 1e-2, 0, values) ** 2
    return squares.cumsum(0) / squares.sum().clamp(min=1e-12)
