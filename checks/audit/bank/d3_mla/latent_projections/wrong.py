"""Wrong answers to D3.1 LatentProjections."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from solutions.d3_mla import LatentProjections


@wrong
class KeysLatentForValues(LatentProjections):
    """The values come from the latent of the keys."""

    def up(self, k, v):
        return super().up(k, k)


@wrong
class OneDown(LatentProjections):
    """One down projection for both: v_down is never used."""

    def down(self, x):
        latent = self.k_down(x)
        return latent, latent


@wrong
class OneUp(LatentProjections):
    """One up projection for both: v_up is never used."""

    def up(self, k, v):
        heads = (self.num_heads, -1)
        return self.k_up(k).unflatten(-1, heads), self.k_up(v).unflatten(-1, heads)


@wrong
class ValuesFirst(LatentProjections):
    """The latent of the values before that of the keys."""

    def down(self, x):
        return self.v_down(x), self.k_down(x)


@wrong
class ValuesUpFirst(LatentProjections):
    """The values before the keys."""

    def up(self, k, v):
        keys, values = super().up(k, v)
        return values, keys


@wrong
class UpsCrossed(LatentProjections):
    """v_up for the keys and k_up for the values."""

    def up(self, k, v):
        heads = (self.num_heads, -1)
        return self.v_up(k).unflatten(-1, heads), self.k_up(v).unflatten(-1, heads)


@wrong
class HeadsBeforePositions(LatentProjections):
    """(B, H, S, d), as many attentions want it."""

    def up(self, k, v):
        return tuple(y.transpose(1, 2) for y in super().up(k, v))


@wrong
class ViewedHeadsFirst(LatentProjections):
    """view(B, H, S, d) of memory in which positions come first: tokens are torn apart."""

    def up(self, k, v):
        shape = len(k), self.num_heads, k.shape[1], -1
        return self.k_up(k).view(shape).transpose(1, 2), self.v_up(v).view(shape).transpose(1, 2)


@wrong
class ViewedHeadsFirstAndLeft(LatentProjections):
    """view(B, H, S, d) and no transpose."""

    def up(self, k, v):
        shape = len(k), self.num_heads, k.shape[1], -1
        return self.k_up(k).view(shape), self.v_up(v).view(shape)


@wrong
class WidthBeforeHeads(LatentProjections):
    """unflatten(-1, (-1, num_heads)): d and H in each other's place."""

    def up(self, k, v):
        heads = (-1, self.num_heads)
        return self.k_up(k).unflatten(-1, heads), self.v_up(v).unflatten(-1, heads)


@wrong
class HeadsInterleaved(LatentProjections):
    """Head h takes every H-th number in place of d neighbours."""

    def up(self, k, v):
        heads = (-1, self.num_heads)
        keys, values = self.k_up(k).unflatten(-1, heads), self.v_up(v).unflatten(-1, heads)
        return keys.transpose(-1, -2), values.transpose(-1, -2)


@wrong
class NotCut(LatentProjections):
    """All heads side by side, (B, S, H·d)."""

    def up(self, k, v):
        return self.k_up(k), self.v_up(v)


@wrong
class BatchFlattened(LatentProjections):
    """view(-1, H, d): batch and positions in one axis."""

    def up(self, k, v):
        return tuple(y.flatten(0, 1) for y in super().up(k, v))


@wrong
class Normed(LatentProjections):
    """The latents normed, as DeepSeek's one latent is."""

    def down(self, x):
        return tuple(F.rms_norm(y, y.shape[-1:]) for y in super().down(x))


@wrong
class NormedBeforeUp(LatentProjections):
    """A norm on the way up: what is cached is right, keys and values are not."""

    def up(self, k, v):
        return super().up(*(F.layer_norm(y, y.shape[-1:]) for y in (k, v)))


@wrong
class Activated(LatentProjections):
    """SiLU between down and up, as in a feed-forward network."""

    def down(self, x):
        return tuple(F.silu(y) for y in super().down(x))


@wrong
class ActivatedBeforeUp(LatentProjections):
    """ReLU on the latents on the way up."""

    def up(self, k, v):
        return super().up(F.relu(k), F.relu(v))


@wrong
class DroppedOut(LatentProjections):
    """Dropout on the latents in training."""

    def down(self, x):
        return tuple(F.dropout(y, 0.3, self.training) for y in super().down(x))


@wrong
class DetachedDown(LatentProjections):
    """Latents detached for the cache: no gradient reaches the down projections."""

    def down(self, x):
        k, v = super().down(x)
        return k.detach(), v.detach()


@wrong
class DetachedInUp(LatentProjections):
    """The latents detached on the way up: the up projections learn, what lies below does not."""

    def up(self, k, v):
        return super().up(k.detach(), v.detach())


@wrong
class UpWithoutGradient(LatentProjections):
    """torch.no_grad around the way up."""

    @torch.no_grad()
    def up(self, k, v):
        return super().up(k, v)


@wrong
class OnlyValuesDetached(LatentProjections):
    """The latent of the values is detached, that of the keys is not."""

    def down(self, x):
        k, v = super().down(x)
        return k, v.detach()


@wrong
class Summed(LatentProjections):
    """One latent, the sum of both, given twice."""

    def down(self, x):
        latent = self.k_down(x) + self.v_down(x)
        return latent, latent


@wrong
class Scaled(LatentProjections):
    """The keys already divided by the root of the head's width."""

    def up(self, k, v):
        keys, values = super().up(k, v)
        return keys / keys.shape[-1] ** 0.5, values


@wrong
class InSingle(LatentProjections):
    """Latents in float32, whatever x is."""

    def down(self, x):
        k, v = super().down(x)
        return k.float(), v.float()


@wrong
class SpoilsLatents(LatentProjections):
    """Right keys and values, and the cached latents come back halved."""

    def up(self, k, v):
        keys, values = super().up(k, v)
        with torch.no_grad():
            k.mul_(0.5)
            v.mul_(0.5)
        return keys, values


@wrong
class LastPositionOnly(LatentProjections):
    """The latent of the last position only, as if earlier ones were always cached."""

    def down(self, x):
        k, v = super().down(x)
        return k[:, -1:], v[:, -1:]


@wrong
class CentresItsInput(LatentProjections):
    """The mean is taken off x in place, and put back into the result by nobody."""

    def down(self, x):
        latents = super().down(x.clone())
        with torch.no_grad():
            x -= x.mean(-1, keepdim=True)
        return latents


@wrong
class ScalesTheLatents(LatentProjections):
    """The latents it is given are scaled in place after they are used."""

    def up(self, k, v):
        both = super().up(k.clone(), v.clone())
        with torch.no_grad():
            k *= 0.5
        return both


@wrong
class FewerWeights(LatentProjections):
    """One weight serves both ways down, so that keys and values have the same latent."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__(d_model, d_latent, num_heads, d_head)
        self.v_down = self.k_down
