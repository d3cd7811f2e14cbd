"""Wrong answers to D3.3e MultiHeadLatentAttention: mask, softmax, output, side effects."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.multi_head_latent_attention.steps import Stepwise
from solutions.d3_mla import MultiHeadLatentAttention, attend


@wrong
class MaskMissing(Stepwise):
    """Every query sees every position."""

    def later(self, length, seen):
        return torch.zeros(length, seen, dtype=torch.bool)


@wrong
class MaskShowsTheNext(Stepwise):
    """Each query sees one position more than it may."""

    def later(self, length, seen):
        return super().later(length, seen).triu(seen - length + 2)


@wrong
class MaskHidesItself(Stepwise):
    """No query sees its own position, but for position zero."""

    def later(self, length, seen):
        hidden = torch.ones(length, seen, dtype=torch.bool).triu(seen - length)
        hidden[:, 0] = False
        return hidden


@wrong
class MaskAfterSoftmax(Stepwise):
    """Later positions are taken out after the softmax: rows no longer sum to 1."""

    def weigh(self, scores, later):
        return scores.softmax(dim=-1).masked_fill(later, 0.0)


@wrong
class MaskWithZero(Stepwise):
    """Hidden scores are set to zero, not to minus infinity."""

    def weigh(self, scores, later):
        return scores.masked_fill(later, 0.0).softmax(dim=-1)


@wrong
class SoftmaxOverQueries(Stepwise):
    """The softmax runs over the queries."""

    def weigh(self, scores, later):
        return scores.masked_fill(later, -torch.inf).softmax(dim=-2).nan_to_num()


@wrong
class SoftmaxOverHeads(Stepwise):
    """The softmax runs over the heads."""

    def weigh(self, scores, later):
        return scores.softmax(dim=1).masked_fill(later, 0.0)


@wrong
class DropsOut(Stepwise):
    """Dropout on the weights in training mode."""

    def weigh(self, scores, later):
        return F.dropout(super().weigh(scores, later), 0.5, self.training)


@wrong
class HeadsInterleaved(Stepwise):
    """The heads are merged as the fast axis."""

    def merge(self, y):
        return y.transpose(-1, -2).flatten(-2)


@wrong
class HeadsViewed(Stepwise):
    """(B, H, L, v) is read as (B, L, H·v) without a transpose."""

    def merge(self, y):
        return y.transpose(1, 2).reshape(*y.shape[:2], -1)


@wrong
class OutMissing(Stepwise):
    """The heads side by side come out, without the output projection."""

    def forward(self, x, cache=None):
        joined = []
        hook = self.out.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
        super().forward(x, cache)
        hook.remove()
        return joined[0]


@wrong
class AddsResidual(Stepwise):
    """Adds x, which is the block's job."""

    def forward(self, x, cache=None):
        return x + super().forward(x, cache)


@wrong
class NormsInput(Stepwise):
    """Norms x first, which is the block's job."""

    def forward(self, x, cache=None):
        return super().forward(F.rms_norm(x, x.shape[-1:]), cache)


@wrong
class LastPositionOnly(Stepwise):
    """With a cache, only the last position's output comes out."""

    def forward(self, x, cache=None):
        y = super().forward(x, cache)
        return y if cache is None else y[:, -1:]


@wrong
class LosesBatchOfOne(Stepwise):
    """`squeeze` loses the batch axis of a single sequence."""

    def forward(self, x, cache=None):
        return super().forward(x, cache).squeeze(0)


@wrong
class ReturnsCacheToo(Stepwise):
    """A tuple of output and cache."""

    def forward(self, x, cache=None):
        return super().forward(x, cache), cache


@wrong
class ViewOnly(Stepwise):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x, cache=None):
        return super().forward(x.view(-1, x.shape[-1]).view(x.shape), cache)


@wrong
class InFloat32(Stepwise):
    """float32 whatever x is."""

    def forward(self, x, cache=None):
        return super().forward(x, cache).float()


@wrong
class WritesIntoInput(Stepwise):
    """The output is also added into the caller's x."""

    def forward(self, x, cache=None):
        y = super().forward(x, cache)
        x.data += y.data
        return y


@wrong
class LatentDetached(Stepwise):
    """The latent hears no gradient, cache or not."""

    def latents(self, x):
        return super().latents(x).detach()


@wrong
class KeyDetached(Stepwise):
    """The rotary key hears no gradient, cache or not."""

    def key(self, x, start):
        return super().key(x, start).detach()


@wrong
class CachesWithoutCache(Stepwise):
    """Makes a cache where none is given: training loses the gradients of what is cached."""

    def forward(self, x, cache=None):
        return super().forward(x, self.new_cache(*x.shape[:2]) if cache is None else cache)


@wrong
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
