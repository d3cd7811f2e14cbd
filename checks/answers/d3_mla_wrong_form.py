"""D3.3e MultiHeadLatentAttention, answered with a wrong mask, softmax, output or side effect."""

import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from checks.answers.d3_mla_wrong import Stepwise

bank = Bank("d3_mla")


@bank.wrong("D3.3e")
class MaskMissing(Stepwise):
    """Every query sees every position."""

    def later(self, length, seen):
        return torch.zeros(length, seen, dtype=torch.bool)


@bank.wrong("D3.3e")
class MaskShowsTheNext(Stepwise):
    """Each query sees one position more than it may."""

    def later(self, length, seen):
        return super().later(length, seen).triu(seen - length + 2)


@bank.wrong("D3.3e")
class MaskHidesItself(Stepwise):
    """No query sees its own position, but for position zero."""

    def later(self, length, seen):
        hidden = torch.ones(length, seen, dtype=torch.bool).triu(seen - length)
        hidden[:, 0] = False
        return hidden


@bank.wrong("D3.3e")
class MaskAfterSoftmax(Stepwise):
    """Later positions are taken out after the softmax: rows no longer sum to 1."""

    def weigh(self, scores, later):
        return scores.softmax(dim=-1).masked_fill(later, 0.0)


@bank.wrong("D3.3e")
class MaskWithZero(Stepwise):
    """Hidden scores are set to zero, not to minus infinity."""

    def weigh(self, scores, later):
        return scores.masked_fill(later, 0.0).softmax(dim=-1)


@bank.wrong("D3.3e")
class SoftmaxOverQueries(Stepwise):
    """The softmax runs over the queries."""

    def weigh(self, scores, later):
        return scores.masked_fill(later, -torch.inf).softmax(dim=-2).nan_to_num()


@bank.wrong("D3.3e")
class SoftmaxOverHeads(Stepwise):
    """The softmax runs over the heads."""

    def weigh(self, scores, later):
        return scores.softmax(dim=1).masked_fill(later, 0.0)


@bank.wrong("D3.3e")
class DropsOut(Stepwise):
    """Dropout on the weights in training mode."""

    def weigh(self, scores, later):
        return F.dropout(super().weigh(scores, later), 0.5, self.training)


@bank.wrong("D3.3e")
class HeadsInterleaved(Stepwise):
    """The heads are merged as the fast axis."""

    def merge(self, y):
        return y.transpose(-1, -2).flatten(-2)


@bank.wrong("D3.3e")
class HeadsViewed(Stepwise):
    """(B, H, L, v) is read as (B, L, H·v) without a transpose."""

    def merge(self, y):
        return y.transpose(1, 2).reshape(*y.shape[:2], -1)


@bank.wrong("D3.3e")
class OutMissing(Stepwise):
    """The heads side by side come out, without the output projection."""

    def forward(self, x, cache=None):
        joined = []
        hook = self.out.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
        super().forward(x, cache)
        hook.remove()
        return joined[0]


@bank.wrong("D3.3e")
class AddsResidual(Stepwise):
    """Adds x, which is the block's job."""

    def forward(self, x, cache=None):
        return x + super().forward(x, cache)


@bank.wrong("D3.3e")
class NormsInput(Stepwise):
    """Norms x first, which is the block's job."""

    def forward(self, x, cache=None):
        return super().forward(F.rms_norm(x, x.shape[-1:]), cache)


@bank.wrong("D3.3e")
class LastPositionOnly(Stepwise):
    """With a cache, only the last position's output comes out."""

    def forward(self, x, cache=None):
        y = super().forward(x, cache)
        return y if cache is None else y[:, -1:]


@bank.wrong("D3.3e")
class LosesBatchOfOne(Stepwise):
    """`squeeze` loses the batch axis of a single sequence."""

    def forward(self, x, cache=None):
        return super().forward(x, cache).squeeze(0)


@bank.wrong("D3.3e")
class ReturnsCacheToo(Stepwise):
    """A tuple of output and cache."""

    def forward(self, x, cache=None):
        return super().forward(x, cache), cache


@bank.wrong("D3.3e")
class ViewOnly(Stepwise):
    """`view` on x as it comes: an error when x is not contiguous."""

    def forward(self, x, cache=None):
        return super().forward(x.view(-1, x.shape[-1]).view(x.shape), cache)


@bank.wrong("D3.3e")
class InFloat32(Stepwise):
    """float32 whatever x is."""

    def forward(self, x, cache=None):
        return super().forward(x, cache).float()


@bank.wrong("D3.3e")
class WritesIntoInput(Stepwise):
    """The output is also added into the caller's x."""

    def forward(self, x, cache=None):
        y = super().forward(x, cache)
        x.data += y.data
        return y


@bank.wrong("D3.3e")
class LatentDetached(Stepwise):
    """The latent hears no gradient, cache or not."""

    def latents(self, x):
        return super().latents(x).detach()


@bank.wrong("D3.3e")
class KeyDetached(Stepwise):
    """The rotary key hears no gradient, cache or not."""

    def key(self, x, start):
        return super().key(x, start).detach()


@bank.wrong("D3.3e")
class CachesWithoutCache(Stepwise):
    """Makes a cache where none is given: training loses the gradients of what is cached."""

    def forward(self, x, cache=None):
        return super().forward(x, self.new_cache(*x.shape[:2]) if cache is None else cache)
