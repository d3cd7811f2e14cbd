"""Right answers to D3.O1 SmallCache."""

import torch

from checks.audit.answers import right
from checks.audit.bank.d3_mla.small_cache.steps import Latent, Rounded, directions

RETURN = "return (latent.round().clamp(-127, 127).to(torch.int8),)"
STEP = "self.step = (activations @ self.down.T).abs().amax(dim=0) / 127"
ANOTHER = "another way to keep less: the measure tells such ways apart, not the check"

EQUIVALENT_MUTANTS = {
    "lost = squares.cumsum(0) / squares.sum() → lost = squares / squares.sum()": ANOTHER,
    f"{RETURN} → return (latent.clamp(-127, 127).to(torch.int8),)": ANOTHER,
    f"{STEP} → self.step = (activations @ self.down.T).abs().amax() / 127": ANOTHER,
    f"{STEP} → self.step = (activations @ self.down.T).abs().amax(dim=0) / 128": ANOTHER,
}


@right
class JointLatent(Latent):
    """One joint latent in the type of the weights, as D3.3f has it."""

    lost = 0.05


@right
class InBfloat16(Latent):
    """A joint latent in bfloat16."""

    def keep(self, x):
        return (super().keep(x)[0].bfloat16(),)

    def expand(self, latent):
        return super().expand(latent.to(self.up))


@right
class StepsFromTheSpread(Rounded):
    """int8 by four times the root mean square of each number, cut off beyond."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        self.step = 4 * (activations @ self.down.T).square().mean(dim=0).sqrt() / 127


@right
class ScaleInTheRow(Latent):
    """int8 with a scale of each token's own, kept beside its row in float16."""

    def keep(self, x):
        (latent,) = super().keep(x)
        scale = (latent.abs().amax(dim=1, keepdim=True) / 127).half()
        return (latent / scale.to(latent)).round().clamp(-127, 127).to(torch.int8), scale

    def expand(self, latent, scale):
        return super().expand(latent.to(self.up) * scale.to(self.up))


@right
class TwoPerByte(Latent):
    """Four bits for each number, two numbers in a byte, by steps of each number's own."""

    lost = 0.01

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        self.step = 2.5 * (activations @ self.down.T).square().mean(dim=0).sqrt() / 7

    def keep(self, x):
        digits = (x @ self.down.T / self.step).round().clamp(-7, 7) + 8
        if digits.shape[1] % 2:
            digits = torch.nn.functional.pad(digits, (0, 1))
        return ((16 * digits[:, ::2] + digits[:, 1::2]).to(torch.uint8),)

    def expand(self, packed):
        digits = torch.stack([packed // 16, packed % 16], dim=-1).flatten(1)
        latent = (digits[:, : self.up.shape[1]].to(self.up) - 8) * self.step
        return super().expand(latent)


@right
class KeysAndValuesApart(Latent):
    """A latent for keys and one for values, in two tensors of bfloat16."""

    def __init__(self, W_K, W_V, activations):
        pairs = [(W, directions(activations @ W.T, 0.04)) for W in (W_K, W_V)]
        self.ups = [up for _, up in pairs]
        self.downs = [up.T @ W for W, up in pairs]

    def keep(self, x):
        return [(x @ down.T).bfloat16() for down in self.downs]

    def expand(self, *latents):
        pairs = zip(latents, self.ups, strict=True)
        return [latent.to(up) @ up.T for latent, up in pairs]


@right
class CentredAndRounded(Rounded):
    """The mean of keys and values is kept once for all tokens, and what differs in int8."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations - activations.mean(dim=0))
        self.mean = activations.mean(dim=0)
        self.middle = self.mean @ torch.cat([W_K, W_V]).T

    def keep(self, x):
        return super().keep(x - self.mean)

    def expand(self, latent):
        middles = self.middle.chunk(2)
        return [part + mean for part, mean in zip(super().expand(latent), middles, strict=True)]
