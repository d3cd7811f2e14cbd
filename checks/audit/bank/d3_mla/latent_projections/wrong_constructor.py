"""Wrong answers to D3.1 LatentProjections: the constructor, the mode and the seed."""

import torch

from checks.audit.answers import wrong
from solutions.d3_mla import LatentProjections


@wrong
class SizesExchanged(LatentProjections):
    """The constructor takes d_latent for d_model, and the other way round."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__(d_latent, d_model, num_heads, d_head)


@wrong
class UpOfOneHead(LatentProjections):
    """The up projections are as wide as one head."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__(d_model, d_latent, 1, d_head)
        self.num_heads = num_heads


@wrong
class HalvedInEvaluation(LatentProjections):
    """Latents are halved in evaluation mode."""

    def down(self, x):
        return tuple(part if self.training else part / 2 for part in super().down(x))


@wrong
class DoubleFromTheStart(LatentProjections):
    """The weights are made in float64, whatever the caller wants."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.double()


@wrong
class SeedsItsWeights(LatentProjections):
    """A seed in the constructor."""

    def __init__(self, *sizes):
        torch.manual_seed(42)
        super().__init__(*sizes)
