"""What answers to D3.I2 yarn_frequencies are built from."""

import math

import torch

from helpers.model.attention_sizes import validate_sizes


def given(d_rope, trained, theta, beta_fast=32, beta_slow=1):
    """What the exercise gives: pairs, their angles, and the pairs at either end of the ramp."""
    validate_sizes(d_rope, trained=trained)
    pair = torch.arange(d_rope // 2, dtype=torch.float64)
    first, last = (
        d_rope * math.log(trained / (times * 2 * math.pi)) / (2 * math.log(theta))
        for times in (beta_fast, beta_slow)
    )
    first, last = max(math.floor(first), 0), min(math.ceil(last), d_rope - 1)
    return pair, theta ** (-2 * pair / d_rope), first, last
