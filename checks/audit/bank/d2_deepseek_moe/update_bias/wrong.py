"""Wrong answers to D2.3c update_bias."""

import numpy as np
import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.update_bias.steps import missing
from solutions.d2_deepseek_moe import update_bias


@wrong
def sign_turned(bias, load, step):
    """Busy experts are raised: they get busier."""
    return bias - step * missing(load).sign().to(bias.dtype)


@wrong
def proportional(bias, load, step):
    """step times the difference itself: the paper's other variant."""
    return bias + step * missing(load).to(bias.dtype)


@wrong
def proportional_to_share(bias, load, step):
    """step times the difference over the mean."""
    relative = missing(load) / load.double().mean().clamp(min=1)
    return bias + step * relative.to(bias.dtype)


@wrong
def clamped_difference(bias, load, step):
    """The difference clamped to ±1: less than a step near the mean."""
    return bias + step * missing(load).clamp(-1, 1).to(bias.dtype)


@wrong
def smooth_sign(bias, load, step):
    """tanh in place of the sign."""
    return bias + step * missing(load).tanh().to(bias.dtype)


@wrong
def in_place_and_returned(bias, load, step):
    """`bias += …`: the caller's bias changes too."""
    bias += step * missing(load).sign().to(bias.dtype)
    return bias


@wrong
def in_place_only(bias, load, step):
    """`bias.add_(…)` and nothing returned."""
    bias.add_(step * missing(load).sign().to(bias.dtype))


@wrong
def change_only(bias, load, step):
    """The change, without the bias it belongs to."""
    return step * missing(load).sign().to(bias.dtype)


@wrong
def under_the_median(bias, load, step):
    """The median in place of the mean."""
    return bias + step * (load.double().median() - load).sign().to(bias.dtype)


@wrong
def under_the_middle(bias, load, step):
    """Halfway between busiest and idlest in place of the mean."""
    middle = (load.max() + load.min()) / 2
    return bias + step * (middle - load).sign().to(bias.dtype)


@wrong
def whole_mean(bias, load, step):
    """The mean rounded down to a whole number."""
    return bias + step * (load.sum() // len(load) - load).sign().to(bias.dtype)


@wrong
def rounded_mean(bias, load, step):
    """The mean rounded to the nearest whole number."""
    return bias + step * (load.double().mean().round() - load).sign().to(bias.dtype)


@wrong
def mean_of_the_busy(bias, load, step):
    """The mean over the experts that were chosen at all."""
    mean = load.sum() / (load > 0).sum().clamp(min=1)
    return bias + step * (mean - load).sign().to(bias.dtype)


@wrong
def under_even_share(bias, load, step):
    """Counts held against the share 1/E."""
    return bias + step * (1 / len(load) - load.double()).sign().to(bias.dtype)


@wrong
def centred(bias, load, step):
    """The change less its mean, as torchtitan has it."""
    change = step * missing(load).sign().to(bias.dtype)
    return bias + change - change.mean()


@wrong
def centred_bias(bias, load, step):
    """The new bias less its mean."""
    new = update_bias(bias, load, step)
    return new - new.mean()


@wrong
def step_shared_out(bias, load, step):
    """step divided by the number of experts."""
    return update_bias(bias, load, step / len(load))


@wrong
def published_step(bias, load, step):
    """0.001, whatever step says."""
    return update_bias(bias, load, 0.001)


@wrong
def twice(bias, load, step):
    """Two steps: one for those under the mean, one for those over, both for all."""
    return update_bias(update_bias(bias, load, step), load, step)


@wrong
def raises_only(bias, load, step):
    """Only experts under the mean move."""
    return bias + step * (missing(load) > 0).to(bias.dtype)


@wrong
def lowers_only(bias, load, step):
    """Only experts over the mean move."""
    return bias - step * (missing(load) < 0).to(bias.dtype)


@wrong
def extremes_only(bias, load, step):
    """Only the busiest and the idlest expert move."""
    new = bias.clone()
    new[load.argmax()] -= step
    new[load.argmin()] += step
    return new


@wrong
def mean_goes_up(bias, load, step):
    """Two cases: an expert with exactly the mean is raised."""
    return torch.where(load > load.double().mean(), bias - step, bias + step)


@wrong
def mean_goes_down(bias, load, step):
    """Two cases: an expert with exactly the mean is lowered."""
    return torch.where(load < load.double().mean(), bias + step, bias - step)


@wrong
def near_is_enough(bias, load, step):
    """No step within a tenth of the mean."""
    far = missing(load).abs() > 0.1 * load.double().mean()
    return bias + step * (missing(load).sign() * far).to(bias.dtype)


@wrong
def as_good_as_the_mean(bias, load, step):
    """torch.isclose: of 200,001 tokens one more or less is no difference."""
    load, mean = load.double(), load.double().mean()
    sign = torch.where(torch.isclose(load, mean.expand_as(load)), 0.0, (mean - load).sign())
    return bias + step * sign.to(bias.dtype)


@wrong
def decayed(bias, load, step):
    """A hundredth of the old bias is forgotten."""
    return update_bias(0.99 * bias, load, step)


@wrong
def relative_step(bias, load, step):
    """The bias times 1 ± step: a bias of zero never moves."""
    return bias * (1 + step * missing(load).sign().to(bias.dtype))


@wrong
def kept_in_bounds(bias, load, step):
    """The new bias clamped to ±1."""
    return update_bias(bias, load, step).clamp(-1, 1)


@wrong
def never_negative(bias, load, step):
    """The new bias clamped at zero."""
    return update_bias(bias, load, step).clamp(min=0)


@wrong
def ends_at_the_mean(bias, load, step):
    """`break` for `continue` at an expert with exactly the mean: nobody behind it moves."""
    new, mean = bias.clone(), load.double().mean()
    for i, count in enumerate(load.tolist()):
        if count == mean:
            break
        new[i] += step if count < mean else -step
    return new


@wrong
def over_the_mean_in_numpy(bias, load, step):
    """The sign of the difference over the mean: NaN where there is no load at all."""
    counts = load.double().numpy()
    with np.errstate(invalid="ignore"):
        sign = np.sign((counts.mean() - counts) / counts.mean())
    return bias + torch.from_numpy(step * sign).to(bias.dtype)


_totals: dict[int, torch.Tensor] = {}


@wrong
def since_the_start(bias, load, step):
    """The load of all batches so far, kept from call to call."""
    _totals[len(load)] = _totals.get(len(load), 0) + load
    return update_bias(bias, _totals[len(load)], step)


@wrong
def in_float32(bias, load, step):
    """float32 whatever bias is."""
    return update_bias(bias, load, step).float()


@wrong
def in_float64(bias, load, step):
    """The double of the mean never cast back."""
    return bias + step * missing(load).sign()


@wrong
def learnable(bias, load, step):
    """A new nn.Parameter: it asks for a gradient."""
    return nn.Parameter(update_bias(bias, load, step))


@wrong
def as_list(bias, load, step):
    """A Python list."""
    return update_bias(bias, load, step).tolist()


@wrong
def spoils_load(bias, load, step):
    """Right bias, and the caller's load comes back less its mean."""
    new = update_bias(bias, load, step)
    load.sub_(load.sum() // len(load))
    return new


@wrong
def move_of_the_one_before(bias, load, step):
    """An index off by one: each expert takes its neighbour's move."""
    return bias + (update_bias(bias, load, step) - bias).roll(1)


@wrong
def over_the_others(bias, load, step):
    """The mean over E - 1: an expert just over the mean of all stays or rises."""
    around = load.sum() / (len(load) - 1)
    return bias + step * (around - load).sign().to(bias.dtype)
