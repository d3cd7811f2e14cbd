"""Wrong answers to D3.3b JointLatent: the constructor and the seed."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.joint_latent.steps import Stepwise
from helpers.model.llama import RMSNorm
from solutions.d3_mla import JointLatent


@wrong
class NormOfTheModel(JointLatent):
    """The norm is made for d_model, and normed is x."""

    def __init__(self, d_model, num_heads, d_head, d_value, d_latent):
        super().__init__(d_model, num_heads, d_head, d_value, d_latent)
        self.kv_norm = RMSNorm(d_model)

    def down(self, x):
        return self.kv_down(self.kv_norm(x))


@wrong
class ValuesAsWideAsKeys(JointLatent):
    """d_value is forgotten: both parts are d_head wide."""

    def __init__(self, d_model, num_heads, d_head, d_value, d_latent):
        super().__init__(d_model, num_heads, d_head, d_head, d_latent)


@wrong
class DoubleFromTheStart(Stepwise):
    """The weights are made in float64, whatever the caller wants."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.double()


@wrong
class SeedsItsCalls(Stepwise):
    """A seed in down."""

    def down(self, x):
        torch.manual_seed(42)
        return super().down(x)


@wrong
class NormInSingle(JointLatent):
    """The norm is computed in float32, also where all else is float64."""

    def down(self, x):
        latent = self.kv_down(x).float()
        normed = latent * torch.rsqrt(latent.pow(2).mean(-1, keepdim=True) + self.kv_norm.eps)
        return normed.to(x.dtype) * self.kv_norm.weight
