"""Answers to D2.O1 steer."""

import torch

from checks.audit.answers import right, wrong
from solutions.d2_deepseek_moe import update_bias

RATE = "return bias + 0.05 * min(1, (99 - batch) / 40) * move"
ANOTHER = "another rule that steers: the measure tells such rules apart, not the check"

EQUIVALENT_MUTANTS = {
    (
        "move = missing.sign() * missing.abs().sqrt() → move = missing * missing.abs().sqrt()"
    ): ANOTHER,
    f"{RATE} → return bias + 0.05 * min((99 - batch) / 40, 1) * move": "the least of both",
    f"{RATE} → return bias + 0.05 * min(1, (99 + batch) / 40) * move": ANOTHER,
    f"{RATE} → return bias + 0.05 * min(1, (99 - batch) * 40) * move": ANOTHER,
    f"{RATE} → return bias + 0.05 * min(1, (99 - batch) / 41) * move": ANOTHER,
    f"{RATE} → return bias + 0.05 * min(2, (99 - batch) / 40) * move": ANOTHER,
    f"{RATE} → return bias + 1.05 * min(1, (99 - batch) / 40) * move": ANOTHER,
}


def missing(load):
    """What each expert has too few, in even shares: 1 for an idle one, 0 for no load at all."""
    return 1 - len(load) * load / load.sum() if load.any() else torch.zeros(len(load))


def falling(batch, frozen_from=60):
    """1, and from a batch on in a line to 0."""
    return min(1.0, (99 - batch) / (99 - frozen_from))


@right
def sign_rule(bias, load, batch):
    """The sign rule of D2.3c with a fixed step."""
    return update_bias(bias, load, 0.01)


@right
def sign_rule_annealed(bias, load, batch):
    """The sign rule with the lesson's step, annealed over the last 40%."""
    return update_bias(bias, load, 0.02 * falling(batch))


@right
def in_proportion(bias, load, batch):
    """A step in proportion to what is missing."""
    return bias + (0.05 * falling(batch) * missing(load)).to(bias.dtype)


@right
def in_proportion_but_bounded(bias, load, batch):
    """In proportion, but never further down than an idle expert goes up."""
    return bias + (0.04 * falling(batch) * missing(load).clamp(-1, 1)).to(bias.dtype)


@right
def soft_sign(bias, load, batch):
    """A sign that fades near the mean: tanh."""
    return bias + (0.03 * falling(batch, 0) * (3 * missing(load)).tanh()).to(bias.dtype)


@right
def by_rank(bias, load, batch):
    """By how many experts are busier and how many idler."""
    busier = (load[None, :] - load[:, None]).sign().to(bias.dtype).mean(dim=1)
    return bias + 0.02 * falling(batch) * busier


@right
def log_ratio_and_centred(bias, load, batch):
    """By the logarithm of the even share over the load, and the mean taken off."""
    wide = load.double()
    move = ((wide.mean() + 1) / (wide + 1)).log().clamp(-2, 2).to(bias.dtype)
    new = bias + 0.02 * falling(batch) * move
    return new - new.mean()


@wrong
def sign_reversed(bias, load, batch):
    """Busy experts go up."""
    return update_bias(bias, load, -0.01)


@wrong
def in_place(bias, load, batch):
    """The old bias is moved where it lies."""
    return bias.add_(0.01 * missing(load).sign().to(bias.dtype))


@wrong
def load_in_place(bias, load, batch):
    """The load is cut off at its mean where it lies."""
    new = update_bias(bias, load, 0.01)
    load.clamp_(max=int(load.sum()) // len(load))
    return new


@wrong
def always_float32(bias, load, batch):
    """float32, whatever the bias is."""
    return (bias + 0.02 * missing(load)).float()


@wrong
def nothing_over_nothing(bias, load, batch):
    """Shares of no load: NaN before anything is routed."""
    return bias + (0.02 * (1 / len(load) - load / load.sum())).to(bias.dtype)


_momentum = {}


@wrong
def momentum_for_all(bias, load, batch):
    """A momentum kept under one name, which all layers share."""
    kept = _momentum.get(len(load), torch.zeros(len(load)))
    _momentum[len(load)] = 0.9 * kept + 0.01 * missing(load).sign()
    return bias + _momentum[len(load)].to(bias.dtype)


@wrong
def with_noise(bias, load, batch):
    """A little noise on every step."""
    return update_bias(bias, load, 0.01) + 0.001 * torch.randn_like(bias)


@wrong
def later_experts_more(bias, load, batch):
    """The step grows with the expert's number."""
    steps = torch.linspace(0.5, 1.5, len(load), dtype=bias.dtype)
    return bias + 0.01 * steps * missing(load).sign().to(bias.dtype)


@wrong
def first_half_only(bias, load, batch):
    """Only the first half of the experts is moved."""
    half = torch.arange(len(load)) < len(load) // 2
    return torch.where(half, update_bias(bias, load, 0.01), bias)


@wrong
def against_the_sum(bias, load, batch):
    """Beside the sum of all rows in place of their mean: every bias rises alike."""
    return bias + 0.01 * (load.sum() - load).sign().to(bias.dtype)


@wrong
def too_small(bias, load, batch):
    """A step that never arrives."""
    return update_bias(bias, load, 1e-5)


@wrong
def too_large(bias, load, batch):
    """A step so large that the load swings from side to side."""
    return update_bias(bias, load, 5.0)


@wrong
def in_rows(bias, load, batch):
    """In proportion to missing rows, not to even shares: hundreds at a time."""
    return bias + 0.02 * (load.double().mean() - load).to(bias.dtype)


@wrong
def frozen_at_once(bias, load, batch):
    """The step is 0 from the fourth batch on."""
    return update_bias(bias, load, 0.002 * max(0.0, 1 - batch / 4))


@wrong
def forgets_the_old_bias(bias, load, batch):
    """Every batch begins at zero."""
    return update_bias(torch.zeros_like(bias), load, 0.01)


@wrong
def shrinks_only(bias, load, batch):
    """The bias decays and the load is never looked at."""
    return 0.95 * bias


@wrong
def without_sign(bias, load, batch):
    """The square of what is missing, so that busy experts rise too."""
    return bias + (0.02 * missing(load) ** 2).to(bias.dtype)


@wrong
def turns_round(bias, load, batch):
    """From batch 50 on the step is taken back."""
    return update_bias(bias, load, 0.01 if batch < 50 else -0.01)


@wrong
def whole_numbers(bias, load, batch):
    """The new bias as whole numbers."""
    return update_bias(bias, load, 1.0).round().long()


@wrong
def as_a_list(bias, load, batch):
    """A list of numbers."""
    return update_bias(bias, load, 0.01).tolist()


@wrong
def starves_below_the_mean(bias, load, batch):
    """Only experts above the mean move, and up."""
    return bias + (0.01 * (missing(load) < 0)).to(bias.dtype)
