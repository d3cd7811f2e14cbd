"""D3.1 to D3.3c, answered rightly but for a line that writes into what it was given."""

import torch

from checks.answers.bank import Bank
from solutions.d3_mla import JointLatent, LatentProjections, QueryPath, RotaryKey

bank = Bank("d3_mla")


@bank.wrong("D3.1")
class CentresItsInput(LatentProjections):
    """The mean is taken off x in place, and put back into the result by nobody."""

    def down(self, x):
        latents = super().down(x.clone())
        with torch.no_grad():
            x -= x.mean(-1, keepdim=True)
        return latents


@bank.wrong("D3.1")
class ScalesTheLatents(LatentProjections):
    """The latents it is given are scaled in place after they are used."""

    def up(self, k, v):
        both = super().up(k.clone(), v.clone())
        with torch.no_grad():
            k *= 0.5
        return both


@bank.wrong("D3.1")
class FewerWeights(LatentProjections):
    """One weight serves both ways down, so that keys and values have the same latent."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__(d_model, d_latent, num_heads, d_head)
        self.v_down = self.k_down


@bank.wrong("D3.3a")
class NormsItsInput(QueryPath):
    """x is halved in place after the queries are made."""

    def forward(self, x, start=0):
        queries = super().forward(x.clone(), start)
        with torch.no_grad():
            x.mul_(0.5)
        return queries


@bank.wrong("D3.3b")
class CutsItsInput(JointLatent):
    """x is clamped in place after the latent is made."""

    def down(self, x):
        latent = super().down(x.clone())
        with torch.no_grad():
            x.clamp_(-0.1, 0.1)
        return latent


@bank.wrong("D3.3b")
class ZeroesTheLatent(JointLatent):
    """The latent it is given is emptied after it is expanded."""

    def up(self, latent):
        both = super().up(latent.clone())
        with torch.no_grad():
            latent.zero_()
        return both


@bank.wrong("D3.3c")
class TurnsItsInput(RotaryKey):
    """x is negated in place after the key is made."""

    def forward(self, x, start=0):
        key = super().forward(x.clone(), start)
        with torch.no_grad():
            x.neg_()
        return key
