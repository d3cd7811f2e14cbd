"""D3.3b JointLatent, answered wrongly."""

import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d3_mla import JointLatent

bank = Bank("d3_mla")


class Stepwise(JointLatent):
    """The right latent in three steps, of which an answer below spoils one."""

    def normed(self, latent):
        """The normed latent."""
        return self.kv_norm(latent)

    def down(self, x):
        """The normed latent of x."""
        return self.normed(self.kv_down(x))

    def heads(self, both):
        """(B, S, H, d + v)."""
        return both.unflatten(-1, (self.num_heads, -1))

    def parts(self, both):
        """Keys and values out of (B, S, H·(d + v))."""
        return self.heads(both).split([self.d_head, self.d_value], dim=-1)

    def up(self, latent):
        """Keys and values."""
        return self.parts(self.kv_up(latent))


@bank.wrong("D3.3b")
class NormForgotten(Stepwise):
    """The latent has no norm."""

    def normed(self, latent):
        return latent


@bank.wrong("D3.3b")
class NormWeightIgnored(Stepwise):
    """A norm without its learned weight."""

    def normed(self, latent):
        return F.rms_norm(latent, latent.shape[-1:], eps=self.kv_norm.eps)


@bank.wrong("D3.3b")
class NormWeightPlusOne(Stepwise):
    """Gemma's norm: one is added to the learned weight."""

    def normed(self, latent):
        return F.rms_norm(latent, latent.shape[-1:], 1 + self.kv_norm.weight, self.kv_norm.eps)


@bank.wrong("D3.3b")
class NormTwice(Stepwise):
    """The norm and its weight applied twice."""

    def normed(self, latent):
        return self.kv_norm(self.kv_norm(latent))


@bank.wrong("D3.3b")
class NormCentred(Stepwise):
    """LayerNorm: the mean is taken off first."""

    def normed(self, latent):
        return F.layer_norm(latent, latent.shape[-1:], self.kv_norm.weight, eps=self.kv_norm.eps)


@bank.wrong("D3.3b")
class NormToLengthOne(Stepwise):
    """The latent brought to length one: the root of the sum, not of the mean."""

    def normed(self, latent):
        return F.normalize(latent, dim=-1) * self.kv_norm.weight


@bank.wrong("D3.3b")
class NormOverPositions(Stepwise):
    """The root mean square is taken over the positions."""

    def normed(self, latent):
        square = latent.square().mean(dim=1, keepdim=True)
        return latent * (square + self.kv_norm.eps).rsqrt() * self.kv_norm.weight


@bank.wrong("D3.3b")
class NormOverSequence(Stepwise):
    """One root mean square for all positions of a sequence together."""

    def normed(self, latent):
        square = latent.square().mean(dim=(1, 2), keepdim=True)
        return latent * (square + self.kv_norm.eps).rsqrt() * self.kv_norm.weight


@bank.wrong("D3.3b")
class NormBeforeDown(Stepwise):
    """x is normed and the latent is not."""

    def down(self, x):
        return self.kv_down(F.rms_norm(x, x.shape[-1:]))


@bank.wrong("D3.3b")
class NormInUp(Stepwise):
    """The latent is cached without a norm, and normed whenever it is expanded."""

    def down(self, x):
        return self.kv_down(x)

    def up(self, latent):
        return super().up(self.kv_norm(latent))


@bank.wrong("D3.3b")
class NormInBoth(Stepwise):
    """A normed latent is normed once more before it is expanded."""

    def up(self, latent):
        return super().up(self.kv_norm(latent))


@bank.wrong("D3.3b")
class NormOfKeys(Stepwise):
    """Each head's key is normed in place of the latent."""

    def normed(self, latent):
        return latent

    def up(self, latent):
        keys, values = super().up(latent)
        return F.rms_norm(keys, keys.shape[-1:]), values


@bank.wrong("D3.3b")
class ActivationAfterNorm(Stepwise):
    """A SiLU on the latent."""

    def down(self, x):
        return F.silu(super().down(x))


@bank.wrong("D3.3b")
class DownDetached(Stepwise):
    """The latent carries no gradient, as if it came from the cache."""

    def down(self, x):
        return super().down(x).detach()


@bank.wrong("D3.3b")
class UpDetached(Stepwise):
    """No gradient reaches the latent from keys and values."""

    def up(self, latent):
        return super().up(latent.detach())


@bank.wrong("D3.3b")
class UpWritesLatent(Stepwise):
    """up norms the given latent in place, and so the cache."""

    def up(self, latent):
        with torch.no_grad():
            latent.copy_(self.kv_norm(latent))
        return super().up(latent)


@bank.wrong("D3.3b")
class UpRemembers(Stepwise):
    """up expands what down gave last, not what it is given."""

    last = None

    def down(self, x):
        self.last = super().down(x)
        return self.last

    def up(self, latent):
        return super().up(latent if self.last is None else self.last)


@bank.wrong("D3.3b")
class LastPositionOnly(Stepwise):
    """Only the newest position is expanded."""

    def up(self, latent):
        return super().up(latent[:, -1:])


@bank.wrong("D3.3b")
class AllKeysFirst(Stepwise):
    """The key rows of all heads, then the value rows of all heads."""

    def parts(self, both):
        keys, values = both.split([self.num_heads * self.d_head, self.num_heads * self.d_value], -1)
        return self.heads(keys), self.heads(values)


@bank.wrong("D3.3b")
class ValuesFirst(Stepwise):
    """The first d_value rows of a head are taken as the value's."""

    def parts(self, both):
        values, keys = self.heads(both).split([self.d_value, self.d_head], dim=-1)
        return keys, values


@bank.wrong("D3.3b")
class PartsExchanged(Stepwise):
    """Returns the values first."""

    def parts(self, both):
        return super().parts(both)[::-1]


@bank.wrong("D3.3b")
class CutInHalf(Stepwise):
    """chunk(2): key and value of one width, whatever d_head and d_value are."""

    def parts(self, both):
        return self.heads(both).chunk(2, dim=-1)


@bank.wrong("D3.3b")
class EveryOtherRow(Stepwise):
    """Even rows are keys, odd rows are values."""

    def parts(self, both):
        both = self.heads(both)
        return both[..., 0::2], both[..., 1::2]


@bank.wrong("D3.3b")
class ValuesFromKeyRows(Stepwise):
    """Keys and values both cut from the front."""

    def parts(self, both):
        both = self.heads(both)
        return both[..., : self.d_head], both[..., : self.d_value]


@bank.wrong("D3.3b")
class HeadsInnermost(Stepwise):
    """Row i belongs to head i modulo H."""

    def heads(self, both):
        return both.unflatten(-1, (-1, self.num_heads)).transpose(-1, -2)


@bank.wrong("D3.3b")
class ViewedNotTransposed(Stepwise):
    """view(B, H, S, d + v) of what lies as (B, S, H, d + v)."""

    def heads(self, both):
        return both.reshape(len(both), self.num_heads, both.shape[1], -1).transpose(1, 2)


@bank.wrong("D3.3b")
class HeadsBeforePositions(Stepwise):
    """Returns (B, H, S, d) and (B, H, S, v)."""

    def parts(self, both):
        return tuple(part.transpose(1, 2) for part in super().parts(both))


@bank.wrong("D3.3b")
class HeadsInOneLine(Stepwise):
    """Returns (B, S, H·d) and (B, S, H·v)."""

    def parts(self, both):
        return tuple(part.flatten(-2) for part in super().parts(both))


@bank.wrong("D3.3b")
class OneHeadForAll(Stepwise):
    """Keys and values of the first head for every head."""

    def heads(self, both):
        both = super().heads(both)
        return both[:, :, :1].expand_as(both)


@bank.wrong("D3.3b")
class LatentInSingle(Stepwise):
    """The latent comes in float32, whatever x is."""

    def down(self, x):
        return super().down(x).float()
