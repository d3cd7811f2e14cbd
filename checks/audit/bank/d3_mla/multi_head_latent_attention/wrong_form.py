"""Wrong answers to D3.3e MultiHeadLatentAttention: fixed sizes, mode, type and seed."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.multi_head_latent_attention.steps import Stepwise


@wrong
class CachesInTraining(Stepwise):
    """The cache is used in training mode only."""

    def forward(self, x, cache=None):
        return super().forward(x, cache if self.training else None)


@wrong
class FixedMask(Stepwise):
    """A causal mask of 64 x 64 made once in the constructor."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.mask = torch.ones(64, 64, dtype=torch.bool).triu(1)

    def later(self, length, seen):
        return self.mask[seen - length : seen, :seen]


@wrong
class HundredPositions(Stepwise):
    """Nothing beyond position 100 is hidden."""

    def later(self, length, seen):
        hidden = super().later(length, seen)
        hidden[:, 100:] = False
        return hidden


@wrong
class SoftmaxInSingle(Stepwise):
    """A float32 softmax inside a float64 attention."""

    def weigh(self, scores, later):
        return super().weigh(scores.float(), later).to(scores.dtype)


@wrong
class DoubleFromTheStart(Stepwise):
    """The weights are made in float64, whatever the caller wants."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.double()


@wrong
class SeedsItsCalls(Stepwise):
    """A seed in forward."""

    def forward(self, x, cache=None):
        torch.manual_seed(42)
        return super().forward(x, cache)
