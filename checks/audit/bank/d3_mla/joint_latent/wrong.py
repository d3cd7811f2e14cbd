"""Wrong answers to D3.3b JointLatent."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.joint_latent.steps import Stepwise
from solutions.d3_mla import JointLatent


@wrong
class CutsItsInput(JointLatent):
    """x is clamped in place after the latent is made."""

    def down(self, x):
        latent = super().down(x.clone())
        with torch.no_grad():
            x.clamp_(-0.1, 0.1)
        return latent


@wrong
class ZeroesTheLatent(JointLatent):
    """The latent it is given is emptied after it is expanded."""

    def up(self, latent):
        both = super().up(latent.clone())
        with torch.no_grad():
            latent.zero_()
        return both


@wrong
class NormForgotten(Stepwise):
    """The latent has no norm."""

    def normed(self, latent):
        return latent


@wrong
class NormWeightIgnored(Stepwise):
    """A norm without its learned weight."""

    def normed(self, latent):
        return F.rms_norm(latent, latent.shape[-1:], eps=self.kv_norm.eps)


@wrong
class NormWeightPlusOne(Stepwise):
    """Gemma's norm: one is added to the learned weight."""

    def normed(self, latent):
        return F.rms_norm(latent, latent.shape[-1:], 1 + self.kv_norm.weight, self.kv_norm.eps)


@wrong
class NormTwice(Stepwise):
    """The norm and its weight applied twice."""

    def normed(self, latent):
        return self.kv_norm(self.kv_norm(latent))


@wrong
class NormCentred(Stepwise):
    """LayerNorm: the mean is taken off first."""

    def normed(self, latent):
        return F.layer_norm(latent, latent.shape[-1:], self.kv_norm.weight, eps=self.kv_norm.eps)


@wrong
class NormToLengthOne(Stepwise):
    """The latent brought to length one: the root of the sum, not of the mean."""

    def normed(self, latent):
        return F.normalize(latent, dim=-1) * self.kv_norm.weight


@wrong
class NormOverPositions(Stepwise):
    """The root mean square is taken over the positions."""

    def normed(self, latent):
        square = latent.square().mean(dim=1, keepdim=True)
        return latent * (square + self.kv_norm.eps).rsqrt() * self.kv_norm.weight


@wrong
class NormOverSequence(Stepwise):
    """One root mean square for all positions of a sequence together."""

    def normed(self, latent):
        square = latent.square().mean(dim=(1, 2), keepdim=True)
        return latent * (square + self.kv_norm.eps).rsqrt() * self.kv_norm.weight


@wrong
class NormBeforeDown(Stepwise):
    """x is normed and the latent is not."""

    def down(self, x):
        return self.kv_down(F.rms_norm(x, x.shape[-1:]))


@wrong
class NormInUp(Stepwise):
    """The latent is cached without a norm, and normed whenever it is expanded."""

    def down(self, x):
        return self.kv_down(x)

    def up(self, latent):
        return super().up(self.kv_norm(latent))


@wrong
class NormInBoth(Stepwise):
    """A normed latent is normed once more before it is expanded."""

    def up(self, latent):
        return super().up(self.kv_norm(latent))


@wrong
class NormOfKeys(Stepwise):
    """Each head's key is normed in place of the latent."""

    def normed(self, latent):
        return latent

    def up(self, latent):
        keys, values = super().up(latent)
        return F.rms_norm(keys, keys.shape[-1:]), values


@wrong
class ActivationAfterNorm(Stepwise):
    """A SiLU on the latent."""

    def down(self, x):
        return F.silu(super().down(x))


@wrong
class DownDetached(Stepwise):
    """The latent carries no gradient, as if it came from the cache."""

    def down(self, x):
        return super().down(x).detach()


@wrong
class UpDetached(Stepwise):
    """No gradient reaches the latent from keys and values."""

    def up(self, latent):
        return super().up(latent.detach())


@wrong
class UpWritesLatent(Stepwise):
    """up norms the given latent in place, and so the cache."""

    def up(self, latent):
        with torch.no_grad():
            latent.copy_(self.kv_norm(latent))
        return super().up(latent)


@wrong
class UpRemembers(Stepwise):
    """up expands what down gave last, not what it is given."""

    last = None

    def down(self, x):
        self.last = super().down(x)
        return self.last

    def up(self, latent):
        return super().up(latent if self.last is None else self.last)


@wrong
class LastPositionOnly(Stepwise):
    """Only the newest position is expanded."""

    def up(self, latent):
        return super().up(latent[:, -1:])


@wrong
class AllKeysFirst(Stepwise):
    """The key rows of all heads, then the value rows of all heads."""

    def parts(self, both):
        keys, values = both.split([self.num_heads * self.d_head, self.num_heads * self.d_value], -1)
        return self.heads(keys), self.heads(values)


@wrong
class ValuesFirst(Stepwise):
    """The first d_value rows of a head are taken as the value's."""

    def parts(self, both):
        values, keys = self.heads(both).split([self.d_value, self.d_head], dim=-1)
        return keys, values


@wrong
class PartsExchanged(Stepwise):
    """Returns the values first."""

    def parts(self, both):
        return super().parts(both)[::-1]


@wrong
class CutInHalf(Stepwise):
    """chunk(2): key and value of one width, whatever d_head and d_value are."""

    def parts(self, both):
        return self.heads(both).chunk(2, dim=-1)


@wrong
class EveryOtherRow(Stepwise):
    """Even rows are keys, odd rows are values."""

    def parts(self, both):
        both = self.heads(both)
        return both[..., 0::2], both[..., 1::2]


@wrong
class ValuesFromKeyRows(Stepwise):
    """Keys and values both cut from the front."""

    def parts(self, both):
        both = self.heads(both)
        return both[..., : self.d_head], both[..., : self.d_value]


@wrong
class HeadsInnermost(Stepwise):
    """Row i belongs to head i modulo H."""

    def heads(self, both):
        return both.unflatten(-1, (-1, self.num_heads)).transpose(-1, -2)


@wrong
class ViewedNotTransposed(Stepwise):
    """view(B, H, S, d + v) of what lies as (B, S, H, d + v)."""

    def heads(self, both):
        return both.reshape(len(both), self.num_heads, both.shape[1], -1).transpose(1, 2)


@wrong
class HeadsBeforePositions(Stepwise):
    """Returns (B, H, S, d) and (B, H, S, v)."""

    def parts(self, both):
        return tuple(part.transpose(1, 2) for part in super().parts(both))


@wrong
class HeadsInOneLine(Stepwise):
    """Returns (B, S, H·d) and (B, S, H·v)."""

    def parts(self, both):
        return tuple(part.flatten(-2) for part in super().parts(both))


@wrong
class OneHeadForAll(Stepwise):
    """Keys and values of the first head for every head."""

    def heads(self, both):
        both = super().heads(both)
        return both[:, :, :1].expand_as(both)


@wrong
class LatentInSingle(Stepwise):
    """The latent comes in float32, whatever x is."""

    def down(self, x):
        return super().down(x).float()
