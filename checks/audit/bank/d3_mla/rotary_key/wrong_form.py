"""Wrong answers to D3.3c RotaryKey: settings, mode, type and seed."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.rotary_key.wrong import Stepwise
from helpers.model.llama import rotate
from solutions.d3_mla import RotaryKey


@wrong
class AnglesIgnored(Stepwise):
    """Turned by theta's angles, whatever angles were given."""

    def turn(self, key, start):
        return rotate(key, start, self.theta)


@wrong
class AnglesInTraining(Stepwise):
    """The given angles are left out in training mode."""

    def turn(self, key, start):
        return rotate(key, start, self.theta, None if self.training else self.angles)


@wrong
class DoubleFromTheStart(RotaryKey):
    """The weight is made in float64, whatever the caller wants."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.double()


@wrong
class SeedsItsCalls(Stepwise):
    """A seed in forward."""

    def forward(self, x, start=0):
        torch.manual_seed(42)
        return super().forward(x, start)
