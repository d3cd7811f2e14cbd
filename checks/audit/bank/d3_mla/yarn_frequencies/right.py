"""Right answers to D3.I2 yarn_frequencies."""

import numpy as np
import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.yarn_frequencies.steps import given

EQUIVALENT_MUTANTS = {
    (
        "ramp = ((pair - first) / max(last - first, 0.001)).clamp(0, 1) → "
        "ramp = ((pair - first) / max(0.001, last - first)).clamp(0, 1)"
    ): "the greater of two numbers in either order",
}


@right
def by_lerp(d_rope, factor, *, trained=4096, theta=10_000.0):
    """torch.lerp between the angles and the divided ones."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = torch.clip((pair - first) / max(last - first, 1e-3), 0, 1)
    return torch.lerp(angle, angle / factor, ramp)


@right
def smooth(d_rope, factor, *, trained=4096, theta=10_000.0):
    """DeepSeek's own form: its `smooth` is one less the ramp."""
    pair, freqs, low, high = given(d_rope, trained, theta)
    if low == high:
        high += 0.001
    kept = 1 - torch.clamp((pair - low) / (high - low), 0, 1)
    return freqs / factor * (1 - kept) + freqs * kept


@right
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


@right
def by_where(d_rope, factor, *, trained=4096, theta=10_000.0):
    """torch.where for the two ends, the ramp between them."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = (pair - first) / max(last - first, 0.001)
    between = angle + (angle / factor - angle) * ramp
    return torch.where(ramp <= 0, angle, torch.where(ramp >= 1, angle / factor, between))


@right
def one_factor(d_rope, factor, *, trained=4096, theta=10_000.0):
    """One factor a pair, from 1 down to 1 / factor."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = F.hardtanh((pair - first) / max(last - first, 0.001), 0.0, 1.0)
    return angle * (1 + ramp * (1 / factor - 1))


@right
def interpolated(d_rope, factor, *, trained=4096, theta=10_000.0):
    """np.interp through the two ends of the ramp."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ends = [first, max(last, first + 0.001)]
    return angle * torch.from_numpy(np.interp(pair.numpy(), ends, [1, 1 / factor]))


@right
def filled_from_both_ends(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A ramp of zeros and ones whose middle is written last."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = (pair > first).double()
    for i in range(first + 1, min(last, len(pair))):
        ramp[i] = (i - first) / (last - first)
    return angle - angle * ramp * (factor - 1) / factor


@right
def borders_by_name(d_rope, factor, *, trained=4096, theta=10_000.0, beta_fast=32, beta_slow=1):
    """With both borders of the ramp, as transformers names them."""
    pair, angle, first, last = given(d_rope, trained, theta, beta_fast, beta_slow)
    ramp = ((pair - first) / max(last - first, 0.001)).clip(0, 1)
    return (1 - ramp) * angle + ramp / factor * angle
