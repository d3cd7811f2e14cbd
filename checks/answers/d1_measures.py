"""D1.4b load_cv and D1.4c max_violation, answered rightly and wrongly."""

import math
import statistics
from fractions import Fraction

import numpy as np
import torch

from checks.answers.bank import Bank
from solutions.d1_moe import load_cv, max_violation

bank = Bank("d1_moe")


@bank.right("D1.4b")
def cv_in_numpy(load):
    """NumPy's std is the population's."""
    counts = load.numpy()
    return float(counts.std() / counts.mean()) if counts.any() else 0.0


@bank.right("D1.4b")
def cv_by_statistics(load):
    """The standard library's pstdev."""
    counts = load.tolist()
    return statistics.pstdev(counts) / statistics.fmean(counts) if sum(counts) else 0.0


@bank.right("D1.4b")
def cv_of_shares(load):
    """The standard deviation of load over its mean, as a 0-d tensor."""
    relative = load.double() * len(load) / load.sum().clamp(min=1)
    return relative.std(unbiased=False)


@bank.right("D1.4b")
def cv_from_squares(load):
    """Root of the mean square less the squared mean, in whole numbers until the end."""
    n, total = len(load), int(load.sum())
    squares = int((load * load).sum())
    return math.sqrt(n * squares - total**2) / total if total else 0.0


@bank.right("D1.4b")
def cv_loop(load):
    """A loop over the experts."""
    counts = [int(c) for c in load]
    mean = sum(counts) / len(counts)
    if mean == 0:
        return 0.0
    return (sum((c - mean) ** 2 for c in counts) / len(counts)) ** 0.5 / mean


@bank.right("D1.4b")
def cv_std_mean(load):
    """torch.std_mean, in float32, as a 0-d tensor."""
    std, mean = torch.std_mean(load.float(), correction=0)
    return std / mean if mean > 0 else torch.tensor(0.0)


@bank.wrong("D1.4b")
def cv_sample(load):
    """torch's default std, which divides by E − 1."""
    return float(load.double().std() / load.double().mean()) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_variance(load):
    """The variance over the mean."""
    load = load.double()
    return float(load.var(correction=0) / load.mean()) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_squared(load):
    """The square of the coefficient of variation, as in the first sparse MoE's loss."""
    return load_cv(load) ** 2


@bank.wrong("D1.4b")
def cv_std_only(load):
    """The standard deviation, not divided by the mean."""
    return float(load.double().std(correction=0))


@bank.wrong("D1.4b")
def cv_upside_down(load):
    """Mean over standard deviation."""
    load = load.double()
    std = load.std(correction=0)
    return float(load.mean() / std) if std > 0 else 0.0


@bank.wrong("D1.4b")
def cv_nan(load):
    """NaN when there is no load."""
    return float(load.double().std(correction=0) / load.double().mean())


@bank.wrong("D1.4b")
def cv_divides_by_zero(load):
    """ZeroDivisionError when there is no load."""
    counts = load.tolist()
    return statistics.pstdev(counts) / statistics.fmean(counts)


@bank.wrong("D1.4b")
def cv_one_for_none(load):
    """1.0 when there is no load."""
    return load_cv(load) if load.any() else 1.0


@bank.wrong("D1.4b")
def cv_max_over_mean(load):
    """The busiest expert over the mean."""
    return float(load.max() / load.double().mean()) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_whole_mean(load):
    """The mean rounded down to a whole number."""
    mean = max(1, int(load.sum()) // len(load))
    return float(((load - mean) ** 2).double().mean().sqrt() / mean) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_of_the_busy(load):
    """Experts nobody chose are left out."""
    return load_cv(load[load > 0]) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_at_most_one(load):
    """Clamped to 1."""
    return min(load_cv(load), 1.0)


@bank.wrong("D1.4b")
def cv_mean_deviation(load):
    """Mean absolute deviation in place of the standard deviation."""
    load = load.double()
    return float((load - load.mean()).abs().mean() / load.mean()) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_over_median(load):
    """The median in place of the mean."""
    middle = float(np.median(load.numpy()))
    return float(load.double().std(correction=0)) / middle if middle else 0.0


@bank.wrong("D1.4b")
def cv_of_probabilities(load):
    """The standard deviation of the shares, not divided by their mean 1/E."""
    return float((load / load.sum()).std(correction=0)) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_four_experts(load):
    """A mean over four experts, whatever their number."""
    mean = load.sum() / 4
    return float(load.double().std(correction=0) / mean) if load.any() else 0.0


@bank.wrong("D1.4b")
def cv_percent(load):
    """In percent."""
    return 100 * load_cv(load)


@bank.wrong("D1.4b")
def cv_rounded(load):
    """Rounded to one digit."""
    return round(load_cv(load), 1)


@bank.wrong("D1.4b")
def cv_as_text(load):
    """Text, made for printing."""
    return f"{load_cv(load):.6f}"


@bank.wrong("D1.4b")
def cv_one_row(load):
    """A tensor of shape (1,): keepdim."""
    relative = load.double() * len(load) / load.sum().clamp(min=1)
    return relative.std(dim=0, correction=0, keepdim=True)


@bank.wrong("D1.4b")
def cv_spoils_load(load):
    """Right value, and the caller's load comes back as zeros."""
    cv = load_cv(load)
    load.zero_()
    return cv


@bank.right("D1.4c")
def violation_in_numpy(load):
    """In NumPy."""
    counts = load.numpy()
    return float((counts.max() - counts.mean()) / counts.mean()) if counts.any() else 0.0


@bank.right("D1.4c")
def violation_of_shares(load):
    """The largest share times E, less one, as a 0-d tensor."""
    if not load.any():
        return torch.tensor(0.0)
    return (load / load.sum()).max() * load.shape[0] - 1


@bank.right("D1.4c")
def violation_of_integers(load):
    """A fraction of whole numbers."""
    counts = load.tolist()
    total = sum(counts)
    return float(Fraction(len(counts) * max(counts) - total, total)) if total else 0.0


@bank.right("D1.4c")
def violation_sorted(load):
    """The last of the sorted loads against their mean."""
    *_, busiest = sorted(load.double())
    mean = load.double().mean()
    return torch.where(mean > 0, (busiest - mean) / mean.clamp(min=1e-9), 0.0).item()


@bank.right("D1.4c")
def violation_nan_to_num(load):
    """Zero over zero, turned to zero at the end."""
    load = load.to(torch.float64)
    return float(((load.amax() - load.mean()) / load.mean()).nan_to_num(0.0))


@bank.wrong("D1.4c")
def violation_plus_one(load):
    """Max over mean, one too much."""
    return max_violation(load) + 1 if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_range(load):
    """Busiest less idlest, over the mean."""
    return float((load.max() - load.min()) / load.double().mean()) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_both_sides(load):
    """The largest deviation on either side of the mean."""
    load = load.double()
    return float((load - load.mean()).abs().max() / load.mean()) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_of_idlest(load):
    """How far the idlest expert is below the mean."""
    return 1 - float(load.min() / load.double().mean()) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_over_sum(load):
    """Divided by the sum."""
    load = load.double()
    return float((load.max() - load.mean()) / load.sum()) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_over_max(load):
    """Divided by the maximum."""
    load = load.double()
    return float((load.max() - load.mean()) / load.max()) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_over_min(load):
    """Busiest over idlest, less one."""
    return float(load.max() / load.min().clamp(min=1) - 1) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_undivided(load):
    """A number of rows: not divided at all."""
    return float(load.max() - load.double().mean())


@bank.wrong("D1.4c")
def violation_nan(load):
    """NaN when there is no load."""
    return float(load.max() / load.double().mean() - 1)


@bank.wrong("D1.4c")
def violation_minus_one(load):
    """−1 when there is no load."""
    return float(load.max() / load.double().mean().clamp(min=1e-9) - 1)


@bank.wrong("D1.4c")
def violation_divides_by_zero(load):
    """ZeroDivisionError when there is no load."""
    return max(load.tolist()) / statistics.fmean(load.tolist()) - 1


@bank.wrong("D1.4c")
def violation_is_cv(load):
    """The coefficient of variation instead."""
    return load_cv(load)


@bank.wrong("D1.4c")
def violation_over_median(load):
    """The median in place of the mean."""
    middle = float(np.median(load.numpy()))
    return float(load.max()) / middle - 1 if middle else 0.0


@bank.wrong("D1.4c")
def violation_of_the_busy(load):
    """The mean over the experts that were chosen."""
    return max_violation(load[load > 0]) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_whole_mean(load):
    """The mean rounded down to a whole number."""
    mean = max(1, int(load.sum()) // len(load))
    return float((load.max() - mean) / mean) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_at_most_one(load):
    """Clamped to 1."""
    return min(max_violation(load), 1.0)


@bank.wrong("D1.4c")
def violation_four_experts(load):
    """A mean over four experts, whatever their number."""
    return float(load.max() / (load.sum() / 4) - 1) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_share(load):
    """How far the largest share is above 1/E, not divided by 1/E."""
    return float(load.max() / load.sum() - 1 / len(load)) if load.any() else 0.0


@bank.wrong("D1.4c")
def violation_argmax(load):
    """Which expert is the busiest, not by how much."""
    return float(load.argmax())


@bank.wrong("D1.4c")
def violation_percent(load):
    """In percent."""
    return 100 * max_violation(load)


@bank.wrong("D1.4c")
def violation_per_expert(load):
    """One number an expert."""
    load = load.double()
    return (load - load.mean()) / load.mean().clamp(min=1e-9)
