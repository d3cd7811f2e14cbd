"""Right answers to D2.3c update_bias."""

import numpy as np
import torch

from checks.audit.answers import right
from checks.audit.bank.d2_deepseek_moe.update_bias.steps import missing
from solutions.d2_deepseek_moe import update_bias

EQUIVALENT_MUTANTS = {
    (
        "return bias + step * missing.sign().to(bias.dtype) → return bias + step * missing.sign()"
    ): "a float64 bias moves by the step as float32 has it, a hundred-millionth of it off",
}


@right
def as_most_write_it(bias, load, step):
    """The mean in float32, less the load."""
    return bias + step * torch.sign(load.float().mean() - load)


@right
def over_taken_off(bias, load, step):
    """The sign of load less mean, taken off."""
    over = load.double() - load.double().mean()
    return bias - step * over.sign().to(bias)


@right
def whole_numbers(bias, load, step):
    """E times the load against the total: no division at all."""
    over = load * len(load) - load.sum()
    return torch.sub(bias, over.sign(), alpha=step)


@right
def by_where(bias, load, step):
    """Three cases by torch.where."""
    mean = load.double().mean()
    raised = torch.where(load < mean, bias + step, bias)
    return torch.where(load > mean, bias - step, raised)


@right
def masks_on_a_copy(bias, load, step):
    """A copy, raised under one mask and lowered under another."""
    new, mean = bias.clone(), load.sum() / load.numel()
    new[load < mean] += step
    new[load > mean] -= step
    return new


@right
def one_by_one(bias, load, step):
    """A loop over the experts in Python numbers."""
    total, n, new = sum(load.tolist()), len(load), []
    for b, count in zip(bias.tolist(), load.tolist(), strict=True):
        new.append(b + step * ((count * n < total) - (count * n > total)))
    return torch.tensor(new, dtype=bias.dtype)


@right
def in_numpy(bias, load, step):
    """NumPy and back."""
    counts = load.numpy()
    return bias + torch.from_numpy(step * np.sign(counts.mean() - counts)).to(bias.dtype)


@right
def nothing_moved(bias, load, step):
    """An early return where nothing moves: the very bias that came in."""
    if load.unique().numel() == 1:
        return bias
    return update_bias(bias, load, step)


@right
def over_the_mean(bias, load, step):
    """The sign of the relative difference; torch's sign of NaN is 0, so no load moves nothing."""
    return bias + step * (missing(load) / load.double().mean()).sign().to(bias.dtype)
