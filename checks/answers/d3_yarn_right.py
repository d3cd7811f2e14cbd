"""D3.I2 yarn_frequencies, answered rightly."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from helpers.attention_sizes import refuse_bad_sizes

bank = Bank("d3_mla")


def given(d_rope, trained, theta):
    """What the exercise gives: pairs, their angles, and the pairs at either end of the ramp."""
    refuse_bad_sizes(d_rope, trained=trained)
    pair = torch.arange(d_rope // 2, dtype=torch.float64)
    first, last = (
        d_rope * math.log(trained / (times * 2 * math.pi)) / (2 * math.log(theta))
        for times in (32, 1)
    )
    first, last = max(math.floor(first), 0), min(math.ceil(last), d_rope - 1)
    return pair, theta ** (-2 * pair / d_rope), first, last


@bank.right("D3.I2")
def by_lerp(d_rope, factor, *, trained=4096, theta=10_000.0):
    """torch.lerp between the angles and the divided ones."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = torch.clip((pair - first) / max(last - first, 1e-3), 0, 1)
    return torch.lerp(angle, angle / factor, ramp)


@bank.right("D3.I2")
def smooth(d_rope, factor, *, trained=4096, theta=10_000.0):
    """DeepSeek's own form: its `smooth` is one less the ramp."""
    pair, freqs, low, high = given(d_rope, trained, theta)
    if low == high:
        high += 0.001
    kept = 1 - torch.clamp((pair - low) / (high - low), 0, 1)
    return freqs / factor * (1 - kept) + freqs * kept


@bank.right("D3.I2")
def pair_by_pair(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A loop in Python's numbers, three cases."""
    _, _, first, last = given(d_rope, trained, theta)
    angles = []
    for i in range(d_rope // 2):
        angle = 1 / theta ** (2 * i / d_rope)
        if i <= first:
            angles.append(angle)
        elif i >= last:
            angles.append(angle / factor)
        else:
            share = (i - first) / (last - first)
            angles.append(angle + share * (angle / factor - angle))
    return torch.tensor(angles, dtype=torch.float64)


@bank.right("D3.I2")
def by_where(d_rope, factor, *, trained=4096, theta=10_000.0):
    """torch.where for the two ends, the ramp between them."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = (pair - first) / max(last - first, 0.001)
    between = angle + (angle / factor - angle) * ramp
    return torch.where(ramp <= 0, angle, torch.where(ramp >= 1, angle / factor, between))


@bank.right("D3.I2")
def one_factor(d_rope, factor, *, trained=4096, theta=10_000.0):
    """One factor a pair, from 1 down to 1 / factor."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = F.hardtanh((pair - first) / max(last - first, 0.001), 0.0, 1.0)
    return angle * (1 + ramp * (1 / factor - 1))


@bank.right("D3.I2")
def interpolated(d_rope, factor, *, trained=4096, theta=10_000.0):
    """np.interp through the two ends of the ramp."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ends = [first, max(last, first + 0.001)]
    return angle * torch.from_numpy(np.interp(pair.numpy(), ends, [1, 1 / factor]))


@bank.right("D3.I2")
def filled_from_both_ends(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A ramp of zeros and ones whose middle is written last."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = (pair > first).double()
    for i in range(first + 1, min(last, len(pair))):
        ramp[i] = (i - first) / (last - first)
    return angle - angle * ramp * (factor - 1) / factor
