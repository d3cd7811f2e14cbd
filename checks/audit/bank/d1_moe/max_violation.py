"""Right and wrong answers to D1.4c max_violation."""

import statistics
from fractions import Fraction

import numpy as np
import torch

from checks.audit.answers import right, wrong
from solutions.d1_moe import load_cv, max_violation

EQUIVALENT_MUTANTS = {
    (
        "load = load.cpu().double() → load = load.double()"
    ): "only a device without float64 tells them apart",
}


@right
def violation_in_numpy(load):
    """In NumPy."""
    counts = load.numpy()
    return float((counts.max() - counts.mean()) / counts.mean()) if counts.any() else 0.0


@right
def violation_of_shares(load):
    """The largest share times E, less one, as a 0-d tensor."""
    if not load.any():
        return torch.tensor(0.0)
    return (load / load.sum()).max() * load.shape[0] - 1


@right
def violation_of_integers(load):
    """A fraction of whole numbers."""
    counts = load.tolist()
    total = sum(counts)
    return float(Fraction(len(counts) * max(counts) - total, total)) if total else 0.0


@right
def violation_sorted(load):
    """The last of the sorted loads against their mean."""
    *_, busiest = sorted(load.double())
    mean = load.double().mean()
    return torch.where(mean > 0, (busiest - mean) / mean.clamp(min=1e-9), 0.0).item()


@right
def violation_nan_to_num(load):
    """Zero over zero, turned to zero at the end."""
    load = load.to(torch.float64)
    return float(((load.amax() - load.mean()) / load.mean()).nan_to_num(0.0))


@wrong
def violation_plus_one(load):
    """Max over mean, one too much."""
    return max_violation(load) + 1 if load.any() else 0.0


@wrong
def violation_range(load):
    """Busiest less idlest, over the mean."""
    return float((load.max() - load.min()) / load.double().mean()) if load.any() else 0.0


@wrong
def violation_both_sides(load):
    """The largest deviation on either side of the mean."""
    load = load.double()
    return float((load - load.mean()).abs().max() / load.mean()) if load.any() else 0.0


@wrong
def violation_of_idlest(load):
    """How far the idlest expert is below the mean."""
    return 1 - float(load.min() / load.double().mean()) if load.any() else 0.0


@wrong
def violation_over_sum(load):
    """Divided by the sum."""
    load = load.double()
    return float((load.max() - load.mean()) / load.sum()) if load.any() else 0.0


@wrong
def violation_over_max(load):
    """Divided by the maximum."""
    load = load.double()
    return float((load.max() - load.mean()) / load.max()) if load.any() else 0.0


@wrong
def violation_over_min(load):
    """Busiest over idlest, less one."""
    return float(load.max() / load.min().clamp(min=1) - 1) if load.any() else 0.0


@wrong
def violation_undivided(load):
    """A number of rows: not divided at all."""
    return float(load.max() - load.double().mean())


@wrong
def violation_nan(load):
    """NaN when there is no load."""
    return float(load.max() / load.double().mean() - 1)


@wrong
def violation_minus_one(load):
    """−1 when there is no load."""
    return float(load.max() / load.double().mean().clamp(min=1e-9) - 1)


@wrong
def violation_divides_by_zero(load):
    """ZeroDivisionError when there is no load."""
    return max(load.tolist()) / statistics.fmean(load.tolist()) - 1


@wrong
def violation_is_cv(load):
    """The coefficient of variation instead."""
    return load_cv(load)


@wrong
def violation_over_median(load):
    """The median in place of the mean."""
    middle = float(np.median(load.numpy()))
    return float(load.max()) / middle - 1 if middle else 0.0


@wrong
def violation_of_the_busy(load):
    """The mean over the experts that were chosen."""
    return max_violation(load[load > 0]) if load.any() else 0.0


@wrong
def violation_whole_mean(load):
    """The mean rounded down to a whole number."""
    mean = max(1, int(load.sum()) // len(load))
    return float((load.max() - mean) / mean) if load.any() else 0.0


@wrong
def violation_at_most_one(load):
    """Clamped to 1."""
    return min(max_violation(load), 1.0)


@wrong
def violation_four_experts(load):
    """A mean over four experts, whatever their number."""
    return float(load.max() / (load.sum() / 4) - 1) if load.any() else 0.0


@wrong
def violation_share(load):
    """How far the largest share is above 1/E, not divided by 1/E."""
    return float(load.max() / load.sum() - 1 / len(load)) if load.any() else 0.0


@wrong
def violation_argmax(load):
    """Which expert is the busiest, not by how much."""
    return float(load.argmax())


@wrong
def violation_percent(load):
    """In percent."""
    return 100 * max_violation(load)


@wrong
def violation_per_expert(load):
    """One number an expert."""
    load = load.double()
    return (load - load.mean()) / load.mean().clamp(min=1e-9)


@wrong
def violation_mean_of_one_at_least(load):
    """clamp(min=1) against a division by zero: wrong where the mean is below 1."""
    load = load.double()
    return float((load.max() - load.mean()) / load.mean().clamp(min=1))


@wrong
def violation_of_all_in_the_mean(load):
    """The mean distance from the mean, of all experts."""
    load = load.double()
    return float((load - load.mean()).abs().mean() / load.mean()) if load.any() else 0.0


@wrong
def violation_in_deviations(load):
    """Over the standard deviation: how many deviations the busiest is above the mean."""
    load, mean = load.double(), load.double().mean()
    return float((load.max() - mean) / load.std(correction=0).clamp(min=1e-9)) if mean else 0.0
