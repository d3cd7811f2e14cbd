"""Wrong answers to D3.3a QueryPath: up to the split into content and rotary parts."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.query_path.steps import Stepwise
from solutions.d3_mla import QueryPath


@wrong
class NormsItsInput(QueryPath):
    """x is halved in place after the queries are made."""

    def forward(self, x, start=0):
        queries = super().forward(x.clone(), start)
        with torch.no_grad():
            x.mul_(0.5)
        return queries


@wrong
class NormForgotten(Stepwise):
    """The latent has no norm."""

    def normed(self, latent):
        return latent


@wrong
class NormWeightIgnored(Stepwise):
    """A norm without its learned weight."""

    def normed(self, latent):
        return F.rms_norm(latent, (self.q_latent,), eps=self.q_norm.eps)


@wrong
class NormCentred(Stepwise):
    """The mean is taken off first, as LayerNorm does."""

    def normed(self, latent):
        return self.q_norm(latent - latent.mean(dim=-1, keepdim=True))


@wrong
class NormTwice(Stepwise):
    """The norm and its weight applied twice."""

    def normed(self, latent):
        return self.q_norm(self.q_norm(latent))


@wrong
class NormOverPositions(Stepwise):
    """The root mean square is taken over the positions."""

    def normed(self, latent):
        square = latent.square().mean(dim=1, keepdim=True)
        return latent * (square + self.q_norm.eps).rsqrt() * self.q_norm.weight


@wrong
class NormOverSequence(Stepwise):
    """One root mean square for all positions of a sequence together."""

    def normed(self, latent):
        square = latent.square().mean(dim=(1, 2), keepdim=True)
        return latent * (square + self.q_norm.eps).rsqrt() * self.q_norm.weight


@wrong
class NormToLengthOne(Stepwise):
    """The latent brought to length one: the root of the sum, not of the mean."""

    def normed(self, latent):
        return F.normalize(latent, dim=-1) * self.q_norm.weight


@wrong
class NormBeforeDown(Stepwise):
    """x is normed and the latent is not."""

    def squeezed(self, x):
        return x if self.q_latent is None else self.q_down(F.rms_norm(x, x.shape[-1:]))


@wrong
class NormAfterUp(Stepwise):
    """Each head's query is normed in place of the latent."""

    def normed(self, latent):
        return latent

    def heads(self, q):
        q = super().heads(q)
        return q if self.q_latent is None else F.rms_norm(q, q.shape[-1:])


@wrong
class NormWithoutLatent(Stepwise):
    """x is normed where there is no latent."""

    def squeezed(self, x):
        return F.rms_norm(x, x.shape[-1:]) if self.q_latent is None else super().squeezed(x)


@wrong
class LatentSkipped(Stepwise):
    """q_up(x) always, which fits only where there is no latent."""

    def squeezed(self, x):
        return x


@wrong
class LatentAlways(Stepwise):
    """q_down is used even where there is none."""

    def squeezed(self, x):
        return self.q_norm(self.q_down(x))


@wrong
class ActivationBetween(Stepwise):
    """A SiLU between the two projections."""

    def squeezed(self, x):
        return x if self.q_latent is None else F.silu(super().squeezed(x))


@wrong
class LatentDetached(Stepwise):
    """No gradient passes the latent, as if it were cached."""

    def normed(self, latent):
        return self.q_norm(latent).detach()


@wrong
class NormedInPlace(Stepwise):
    """x is normed in place: the caller's x changes."""

    def squeezed(self, x):
        with torch.no_grad():
            x /= (x.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        return super().squeezed(x)


@wrong
class ScaledAlready(Stepwise):
    """Divided by sqrt(d + r) here, and again in attention."""

    def heads(self, q):
        return super().heads(q) / (self.d_head + self.d_rope) ** 0.5


@wrong
class ScaleIgnored(Stepwise):
    """The constructor's scale multiplies nothing."""

    def heads(self, q):
        return super().heads(q) / self.scale


@wrong
class ContentScaledAlone(Stepwise):
    """The scale multiplies the content and not the rotary part."""

    def turn(self, rotary, start):
        return super().turn(rotary, start) / self.scale


@wrong
class ScaledInTraining(Stepwise):
    """The scale is left out in evaluation mode."""

    def heads(self, q):
        return super().heads(q) if self.training else super().heads(q) / self.scale


@wrong
class DoubleFromTheStart(Stepwise):
    """The weights are made in float64, whatever the caller wants."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.double()


@wrong
class SeedsItsWeights(Stepwise):
    """A seed in the constructor: every layer gets the same weights, and the program's draws too."""

    def __init__(self, *sizes, **options):
        torch.manual_seed(42)
        super().__init__(*sizes, **options)


@wrong
class SeedsItsCalls(Stepwise):
    """A seed in forward."""

    def forward(self, x, start=0):
        torch.manual_seed(42)
        return super().forward(x, start)


@wrong
class RotaryFirst(Stepwise):
    """The first d_rope rows of a head are taken as the rotary ones."""

    def parts(self, q):
        rotary, content = self.heads(q).split([self.d_rope, self.d_head], dim=-1)
        return content, rotary


@wrong
class AllContentFirst(Stepwise):
    """The content rows of all heads, then the rotary rows of all heads."""

    def parts(self, q):
        content, rotary = q.split([self.num_heads * self.d_head, self.num_heads * self.d_rope], -1)
        return self.heads(content), self.heads(rotary)


@wrong
class HeadsInnermost(Stepwise):
    """Row i belongs to head i modulo H."""

    def heads(self, q):
        return self.scale * q.unflatten(-1, (-1, self.num_heads)).transpose(-1, -2)


@wrong
class ViewedNotTransposed(Stepwise):
    """view(B, H, L, d + r) of what lies as (B, L, H, d + r)."""

    def heads(self, q):
        return self.scale * q.reshape(len(q), self.num_heads, q.shape[1], -1).transpose(1, 2)


@wrong
class SplitInHalf(Stepwise):
    """Each head's query cut in the middle, whatever d_head and d_rope are."""

    def parts(self, q):
        return self.heads(q).chunk(2, dim=-1)


@wrong
class RotaryOfFirstHead(Stepwise):
    """One rotary query for all heads, as the key has it."""

    def parts(self, q):
        content, rotary = super().parts(q)
        return content, rotary[:, :, :1].expand_as(rotary)


@wrong
class HeadsBeforePositions(Stepwise):
    """Returns (B, H, L, d) and (B, H, L, r)."""

    def forward(self, x, start=0):
        content, rotary = super().forward(x, start)
        return content.transpose(1, 2), rotary.transpose(1, 2)


@wrong
class NotSplit(Stepwise):
    """Returns one tensor with both parts side by side."""

    def forward(self, x, start=0):
        return torch.cat(super().forward(x, start), dim=-1)


@wrong
class PartsExchanged(Stepwise):
    """Returns the rotary part first."""

    def forward(self, x, start=0):
        return super().forward(x, start)[::-1]
