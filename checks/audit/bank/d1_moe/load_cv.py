"""Right and wrong answers to D1.4b load_cv."""

import math
import statistics

import numpy as np
import torch

from checks.audit.answers import right, wrong
from solutions.d1_moe import load_cv

EQUIVALENT_MUTANTS = {
    (
        "load = load.cpu().double() → load = load.double()"
    ): "only a device without float64 tells them apart",
}


@right
def cv_in_numpy(load):
    """NumPy's std is the population's."""
    counts = load.numpy()
    return float(counts.std() / counts.mean()) if counts.any() else 0.0


@right
def cv_by_statistics(load):
    """The standard library's pstdev."""
    counts = load.tolist()
    return statistics.pstdev(counts) / statistics.fmean(counts) if sum(counts) else 0.0


@right
def cv_of_shares(load):
    """The standard deviation of load over its mean, as a 0-d tensor."""
    relative = load.double() * len(load) / load.sum().clamp(min=1)
    return relative.std(unbiased=False)


@right
def cv_from_squares(load):
    """Root of the mean square less the squared mean, in whole numbers until the end."""
    n, total = len(load), int(load.sum())
    squares = int((load * load).sum())
    return math.sqrt(n * squares - total**2) / total if total else 0.0


@right
def cv_loop(load):
    """A loop over the experts."""
    counts = [int(c) for c in load]
    mean = sum(counts) / len(counts)
    if mean == 0:
        return 0.0
    return (sum((c - mean) ** 2 for c in counts) / len(counts)) ** 0.5 / mean


@right
def cv_std_mean(load):
    """torch.std_mean, in float32, as a 0-d tensor."""
    std, mean = torch.std_mean(load.float(), correction=0)
    return std / mean if mean > 0 else torch.tensor(0.0)


@wrong
def cv_sample(load):
    """torch's default std, which divides by E − 1."""
    return float(load.double().std() / load.double().mean()) if load.any() else 0.0


@wrong
def cv_sample_corrected(load):
    """The sample deviation times sqrt((E - 1) / E): NaN where there is one expert."""
    load, e = load.double(), len(load)
    variance = (load - load.mean()).square().sum() / (e - 1)
    return float((variance * (e - 1) / e).sqrt() / load.mean()) if load.any() else 0.0


@wrong
def cv_variance(load):
    """The variance over the mean."""
    load = load.double()
    return float(load.var(correction=0) / load.mean()) if load.any() else 0.0


@wrong
def cv_squared(load):
    """The square of the coefficient of variation, as in the first sparse MoE's loss."""
    return load_cv(load) ** 2


@wrong
def cv_std_only(load):
    """The standard deviation, not divided by the mean."""
    return float(load.double().std(correction=0))


@wrong
def cv_upside_down(load):
    """Mean over standard deviation."""
    load = load.double()
    std = load.std(correction=0)
    return float(load.mean() / std) if std > 0 else 0.0


@wrong
def cv_nan(load):
    """NaN when there is no load."""
    return float(load.double().std(correction=0) / load.double().mean())


@wrong
def cv_divides_by_zero(load):
    """ZeroDivisionError when there is no load."""
    counts = load.tolist()
    return statistics.pstdev(counts) / statistics.fmean(counts)


@wrong
def cv_one_for_none(load):
    """1.0 when there is no load."""
    return load_cv(load) if load.any() else 1.0


@wrong
def cv_max_over_mean(load):
    """The busiest expert over the mean."""
    return float(load.max() / load.double().mean()) if load.any() else 0.0


@wrong
def cv_whole_mean(load):
    """The mean rounded down to a whole number."""
    mean = max(1, int(load.sum()) // len(load))
    return float(((load - mean) ** 2).double().mean().sqrt() / mean) if load.any() else 0.0


@wrong
def cv_of_the_busy(load):
    """Experts nobody chose are left out."""
    return load_cv(load[load > 0]) if load.any() else 0.0


@wrong
def cv_at_most_one(load):
    """Clamped to 1."""
    return min(load_cv(load), 1.0)


@wrong
def cv_mean_deviation(load):
    """Mean absolute deviation in place of the standard deviation."""
    load = load.double()
    return float((load - load.mean()).abs().mean() / load.mean()) if load.any() else 0.0


@wrong
def cv_over_median(load):
    """The median in place of the mean."""
    middle = float(np.median(load.numpy()))
    return float(load.double().std(correction=0)) / middle if middle else 0.0


@wrong
def cv_of_probabilities(load):
    """The standard deviation of the shares, not divided by their mean 1/E."""
    return float((load / load.sum()).std(correction=0)) if load.any() else 0.0


@wrong
def cv_four_experts(load):
    """A mean over four experts, whatever their number."""
    mean = load.sum() / 4
    return float(load.double().std(correction=0) / mean) if load.any() else 0.0


@wrong
def cv_percent(load):
    """In percent."""
    return 100 * load_cv(load)


@wrong
def cv_rounded(load):
    """Rounded to one digit."""
    return round(load_cv(load), 1)


@wrong
def cv_as_text(load):
    """Text, made for printing."""
    return f"{load_cv(load):.6f}"


@wrong
def cv_one_row(load):
    """A tensor of shape (1,): keepdim."""
    relative = load.double() * len(load) / load.sum().clamp(min=1)
    return relative.std(dim=0, correction=0, keepdim=True)


@wrong
def cv_mean_of_one_at_least(load):
    """clamp(min=1) against a division by zero: wrong where the mean is below 1."""
    load = load.double()
    return float(load.std(correction=0) / load.mean().clamp(min=1))


@wrong
def cv_spoils_load(load):
    """Right value, and the caller's load comes back as zeros."""
    cv = load_cv(load)
    load.zero_()
    return cv


@wrong
def cv_of_squares(load):
    """The mean square less the squared mean, in float32: of millions nothing is left."""
    load = load.float()
    if not load.any():
        return 0.0
    variance = (load.square().mean() - load.mean().square()).clamp(min=0)
    return float(variance.sqrt() / load.mean())


@wrong
def cv_over_the_largest(load):
    """The standard deviation over the largest load."""
    load = load.double()
    return float(load.std(correction=0) / load.max()) if load.any() else 0.0


@wrong
def cv_of_the_range(load):
    """The range from lowest to highest over the mean."""
    load = load.double()
    return float((load.max() - load.min()) / load.mean()) if load.any() else 0.0
