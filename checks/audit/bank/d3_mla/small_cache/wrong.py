"""Wrong answers to D3.O1 SmallCache."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.small_cache.steps import Latent, Rounded


@wrong
class ValuesFirst(Rounded):
    """Values and keys exchanged."""

    def expand(self, latent):
        return super().expand(latent)[::-1]


@wrong
class OneTensor(Rounded):
    """Keys and values side by side in one tensor."""

    def expand(self, latent):
        return torch.cat(super().expand(latent), dim=-1)


@wrong
class NoTuple(Rounded):
    """keep returns its tensor bare."""

    def keep(self, x):
        return super().keep(x)[0]


@wrong
class KeepsKeysAndValues(Latent):
    """Keys and values themselves: nothing is saved."""

    def __init__(self, W_K, W_V, activations):
        self.weights = W_K, W_V

    def keep(self, x):
        return [x @ W.T for W in self.weights]

    def expand(self, keys, values):
        return keys, values


@wrong
class KeepsBothInBfloat16(KeepsKeysAndValues):
    """Keys and values in bfloat16: half of float32, and no latent."""

    def keep(self, x):
        return [part.bfloat16() for part in super().keep(x)]

    def expand(self, keys, values):
        return [part.to(self.weights[0]) for part in (keys, values)]


@wrong
class KeepsX(Latent):
    """The activation itself, in float32 as wide as the model."""

    def __init__(self, W_K, W_V, activations):
        self.weights = W_K, W_V

    def keep(self, x):
        return (x,)

    def expand(self, x):
        return [x @ W.T for W in self.weights]


@wrong
class BatchScale(Latent):
    """int8 with one scale for all tokens of a call, kept as a row per token."""

    def keep(self, x):
        (latent,) = super().keep(x)
        scale = latent.abs().amax() / 127
        digits = (latent / scale).round().to(torch.int8)
        return digits, scale.half().expand(len(x), 1).contiguous()

    def expand(self, digits, scale):
        return super().expand(digits.to(self.up) * scale.to(self.up))


@wrong
class ScaleInTheObject(Latent):
    """The scale of the last call, left in the object."""

    scale = 1.0

    def keep(self, x):
        (latent,) = super().keep(x)
        self.scale = latent.abs().amax(dim=0) / 127
        return ((latent / self.scale).round().to(torch.int8),)

    def expand(self, digits):
        return super().expand(digits.to(self.up) * self.scale)


@wrong
class Stash(Latent):
    """x is left in the object, and what is kept is its number."""

    def __init__(self, W_K, W_V, activations):
        self.weights, self.seen = (W_K, W_V), activations

    def keep(self, x):
        self.seen = x
        return (torch.arange(len(x)),)

    def expand(self, numbers):
        return [self.seen[numbers.clamp(max=len(self.seen) - 1)] @ W.T for W in self.weights]


@wrong
class IndependentLatents(Latent):
    """Projections at random, which know nothing of the weights."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(self.down.shape, generator=generator)
        self.down = drawn.to(W_K)


@wrong
class WithoutSteps(Latent):
    """Rounded to whole numbers, whatever the size of a latent's numbers."""

    def keep(self, x):
        return ((super().keep(x)[0] / 20).round().clamp(-127, 127).to(torch.int8),)

    def expand(self, latent):
        return super().expand(20 * latent.to(self.up))


@wrong
class WeakestDirections(Latent):
    """The directions that carry least: eigh's first."""

    def __init__(self, W_K, W_V, activations):
        both = torch.cat([W_K, W_V])
        outputs = activations @ both.T
        self.up = torch.linalg.eigh(outputs.T @ outputs).eigenvectors[:, :20]
        self.down = self.up.T @ both


@wrong
class OneDirection(Latent):
    """A single number per token."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        self.up, self.down = self.up[:, -1:], self.down[-1:]


@wrong
class MeanTakenOff(Latent):
    """The mean is taken off and never put back."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        self.mean = activations.mean(dim=0)

    def keep(self, x):
        return super().keep(x - self.mean)


@wrong
class CentredByTheCall(Latent):
    """The mean of the call's own tokens is taken off and left with each."""

    def keep(self, x):
        mean = x.mean(dim=0, keepdim=True)
        (latent,), (middle,) = super().keep(x - mean), super().keep(mean)
        return latent.half(), middle.half().expand(len(x), -1).contiguous()[:, :4]

    def expand(self, latent, middle):
        whole = latent.to(self.up)
        return super().expand(torch.cat([whole[:, :4] + middle.to(self.up), whole[:, 4:]], dim=-1))


@wrong
class InPlace(Rounded):
    """x is divided by its length where it lies."""

    def keep(self, x):
        x /= x.norm(dim=-1, keepdim=True) / x.shape[1] ** 0.5
        return super().keep(x)


@wrong
class NormedWeights(Rounded):
    """The weights are scaled where they lie while the cache is made."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        W_K.mul_(1.01)
        W_V.mul_(1.01)


@wrong
class AlwaysFloat32(Rounded):
    """Keys and values in float32, whatever the weights are."""

    def expand(self, latent):
        return [part.float() for part in super().expand(latent)]


@wrong
class DropsTheLast(Rounded):
    """The last token is not kept."""

    def keep(self, x):
        return [part[:-1] for part in super().keep(x)]


@wrong
class RunningMean(Rounded):
    """Each row is mixed with the one before it."""

    def keep(self, x):
        before = torch.cat([x[:1], x[:-1]])
        return super().keep(0.97 * x + 0.03 * before)


@wrong
class KeysOnly(Rounded):
    """Values are zeros."""

    def expand(self, latent):
        keys, values = super().expand(latent)
        return keys, torch.zeros_like(values)


@wrong
class InHeads(Rounded):
    """Keys and values with an axis of heads of width 1."""

    def expand(self, latent):
        return [part[..., None] for part in super().expand(latent)]
