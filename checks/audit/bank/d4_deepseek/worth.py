"""Right and wrong answers to D4.I2 worth."""

import math
import statistics

import numpy as np
import torch

from checks.audit.answers import right, wrong


def standard_error(saved):
    """The sample standard deviation over the square root of the number."""
    return float(saved.std()) / math.sqrt(len(saved))


@right
def with_statistics(with_part, without):
    """The statistics module, seed by seed."""
    saved = [b - a for a, b in zip(with_part.tolist(), without.tolist(), strict=True)]
    return statistics.fmean(saved), statistics.stdev(saved) / math.sqrt(len(saved))


@right
def in_numpy(with_part, without):
    """NumPy with ddof=1."""
    saved = without.double().numpy() - with_part.double().numpy()
    return float(np.mean(saved)), float(np.std(saved, ddof=1) / np.sqrt(saved.size))


@right
def written_out(with_part, without):
    """Deviations squared and summed, over n - 1 and over n."""
    saved = torch.sub(without, with_part)
    n, mean = saved.numel(), saved.sum() / saved.numel()
    squares = (saved - mean).pow(2).sum()
    return mean.item(), (squares / (n - 1) / n).sqrt().item()


@right
def population_over_one_less(with_part, without):
    """The population's standard deviation over sqrt(n - 1): the same number."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std(correction=0)) / (len(saved) - 1) ** 0.5


@right
def spread_and_mean_at_once(with_part, without):
    """std_mean of the differences; the sign turned at the end."""
    spread, mean = torch.std_mean(with_part - without)
    return -mean.item(), spread.item() / len(without) ** 0.5


@right
def by_covariance(with_part, without):
    """Difference of the means; variances less twice the covariance."""
    covariance = torch.stack([with_part, without]).double().cov()
    variance = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]).clamp(min=0)
    mean = without.double().mean() - with_part.double().mean()
    return float(mean), float((variance / len(without)).sqrt())


@right
def mean_of_squares(with_part, without):
    """The mean of the squares less the square of the mean, over n - 1."""
    saved = without - with_part
    variance = (saved.square().mean() - saved.mean() ** 2).clamp(min=0)
    return saved.mean().item(), (variance / (len(saved) - 1)).sqrt().item()


@wrong
def sign_turned(with_part, without):
    """With less without: what saves loss comes out below 0."""
    saved = with_part - without
    return float(saved.mean()), standard_error(saved)


@wrong
def absolute_differences(with_part, without):
    """Differences without their sign."""
    saved = (without - with_part).abs()
    return float(saved.mean()), standard_error(saved)


@wrong
def absolute_mean(with_part, without):
    """The mean without its sign."""
    saved = without - with_part
    return abs(float(saved.mean())), standard_error(saved)


@wrong
def unpaired(with_part, without):
    """The error of two independent samples: what the seeds share counts."""
    n = len(without)
    error = math.sqrt(float(with_part.var() / n + without.var() / n))
    return float((without - with_part).mean()), error


@wrong
def difference_of_errors(with_part, without):
    """One standard error less the other."""
    error = standard_error(without) - standard_error(with_part)
    return float((without - with_part).mean()), error


@wrong
def error_of_one_side(with_part, without):
    """The standard error of the losses without the part."""
    return float((without - with_part).mean()), standard_error(without)


@wrong
def all_losses_pooled(with_part, without):
    """The spread of all losses in one heap."""
    error = standard_error(torch.cat([with_part, without]))
    return float((without - with_part).mean()), error


@wrong
def sorted_first(with_part, without):
    """Best with best, worst with worst, whatever the seed."""
    saved = without.sort().values - with_part.sort().values
    return float(saved.mean()), standard_error(saved)


@wrong
def population_spread(with_part, without):
    """The population's standard deviation."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std(correction=0)) / len(saved) ** 0.5


@wrong
def spread_of_one_seed(with_part, without):
    """The standard deviation, not over the square root of the number."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std())


@wrong
def over_the_number(with_part, without):
    """The standard deviation over n, not over its square root."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std() / len(saved))


@wrong
def one_less_twice(with_part, without):
    """The sample standard deviation over sqrt(n - 1)."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std()) / (len(saved) - 1) ** 0.5


@wrong
def variance(with_part, without):
    """The variance over n: no square root at all."""
    saved = without - with_part
    return float(saved.mean()), float(saved.var() / len(saved))


@wrong
def variance_over_root(with_part, without):
    """The variance over the square root of n."""
    saved = without - with_part
    return float(saved.mean()), float(saved.var()) / len(saved) ** 0.5


@wrong
def mean_distance(with_part, without):
    """The mean distance from the mean in place of the standard deviation."""
    saved = without - with_part
    distance = (saved - saved.mean()).abs().mean()
    return float(saved.mean()), float(distance) / len(saved) ** 0.5


@wrong
def half_the_range(with_part, without):
    """Half the distance of the largest from the smallest difference."""
    saved = without - with_part
    return float(saved.mean()), float(saved.max() - saved.min()) / 2


@wrong
def twice_the_error(with_part, without):
    """The half-width of a 95% interval."""
    saved = without - with_part
    return float(saved.mean()), 1.96 * standard_error(saved)


@wrong
def median(with_part, without):
    """The median in place of the mean."""
    saved = without - with_part
    return float(saved.median()), standard_error(saved)


@wrong
def summed(with_part, without):
    """The sum of the differences."""
    saved = without - with_part
    return float(saved.sum()), standard_error(saved)


@wrong
def best_seed(with_part, without):
    """The best loss of each side."""
    return float(without.min() - with_part.min()), standard_error(without - with_part)


@wrong
def relative(with_part, without):
    """Each difference as a share of the loss without the part."""
    saved = (without - with_part) / without
    return float(saved.mean()), standard_error(saved)


@wrong
def error_first(with_part, without):
    """`torch.std_mean` in its own order: the error comes first."""
    spread, mean = torch.std_mean(without - with_part)
    return float(spread) / len(without) ** 0.5, float(mean)


@wrong
def in_errors(with_part, without):
    """The mean in units of its error, once more than asked."""
    saved = without - with_part
    error = standard_error(saved)
    return float(saved.mean()) / max(error, 1e-9), error


@wrong
def mean_only(with_part, without):
    """One number."""
    return float((without - with_part).mean())


@wrong
def one_a_seed(with_part, without):
    """The differences themselves in place of their mean."""
    saved = without - with_part
    return saved, standard_error(saved)


@wrong
def two_decimals(with_part, without):
    """Rounded to two decimals."""
    saved = without - with_part
    return round(float(saved.mean()), 2), round(standard_error(saved), 2)


@wrong
def three_seeds(with_part, without):
    """Over sqrt(3), whatever the number of seeds."""
    saved = without - with_part
    return float(saved.mean()), float(saved.std()) / 3**0.5


@wrong
def taken_off_in_place(with_part, without):
    """`-=`: the caller's losses become differences."""
    without -= with_part
    return float(without.mean()), standard_error(without)


@wrong
def confidence_interval(with_part, without):
    """Half a 95 % interval in place of the error."""
    saved = without - with_part
    return float(saved.mean()), 1.96 * standard_error(saved)
