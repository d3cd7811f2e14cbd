"""Wrong answers to D3.I2 yarn_frequencies."""

import math

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.yarn_frequencies.steps import given
from solutions.d3_mla import yarn_frequencies


def ramp_of(pair, first, last):
    """0 up to pair `first`, 1 from pair `last`."""
    return ((pair - first) / max(last - first, 0.001)).clamp(0, 1)


def mixed(angle, factor, ramp):
    """The angle where the ramp is 0, divided where it is 1."""
    return angle * (1 - ramp) + angle / factor * ramp


@wrong
def ramp_turned(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp the wrong way round: fast pairs are divided, slow ones kept."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, 1 - ramp_of(pair, first, last))


@wrong
def factor_multiplies(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The slow pairs turn `factor` times faster."""
    return yarn_frequencies(d_rope, 1 / factor, trained=trained, theta=theta)


@wrong
def without_clamp(d_rope, factor, *, trained=4096, theta=10_000.0):
    """No clamp: the ramp goes on below 0 and above 1."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, (pair - first) / max(last - first, 0.001))


@wrong
def clamped_below(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Clamped at 0 and not at 1."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ((pair - first) / max(last - first, 0.001)).clamp(min=0))


@wrong
def clamped_above(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Clamped at 1 and not at 0."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ((pair - first) / max(last - first, 0.001)).clamp(max=1))


@wrong
def all_divided(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Position interpolation: every pair is divided."""
    return given(d_rope, trained, theta)[1] / factor


@wrong
def none_divided(d_rope, factor, *, trained=4096, theta=10_000.0):
    """RoPE's own angles."""
    return given(d_rope, trained, theta)[1]


@wrong
def other_theta(d_rope, factor, *, trained=4096, theta=10_000.0):
    """NTK-aware: a larger theta in place of the ramp."""
    larger = theta * factor ** (d_rope / max(d_rope - 2, 1))
    return given(d_rope, trained, larger)[1]


@wrong
def periods_mixed(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp mixes the periods, not the angles."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = ramp_of(pair, first, last)
    return 1 / ((1 - ramp) / angle + ramp * factor / angle)


@wrong
def mixed_as_powers(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The factor to the power of the ramp."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return angle * factor ** -ramp_of(pair, first, last)


@wrong
def ramp_over_width(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp over the d_rope numbers: it is twice as steep and starts at half the pair."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(2 * pair, first, last))


@wrong
def ramp_over_turns(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp over the turns from 32 to 1, as the paper's text has it, not over the pairs."""
    _, angle, _, _ = given(d_rope, trained, theta)
    turns = trained * angle / (2 * math.pi)
    return mixed(angle, factor, 1 - ((turns - 1) / 31).clamp(0, 1))


@wrong
def ramp_over_all(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A ramp from the first pair of all to the last."""
    pair, angle, _, _ = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair, 0, len(pair) - 1))


@wrong
def step_at_first(d_rope, factor, *, trained=4096, theta=10_000.0):
    """No ramp: all behind pair `first` are divided."""
    pair, angle, first, _ = given(d_rope, trained, theta)
    return torch.where(pair > first, angle / factor, angle)


@wrong
def step_at_last(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp in whole numbers: it is 0 until pair `last`."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair, first, last).long())


@wrong
def step_halfway(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp rounded: a step in its middle."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair, first, last).round())


@wrong
def one_pair_longer(d_rope, factor, *, trained=4096, theta=10_000.0):
    """last - first + 1 below the line: pair `last` is not divided in full."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair, first, last + 1))


@wrong
def one_pair_late(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Pairs counted from one."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair + 1, first, last))


@wrong
def brackets_missing(d_rope, factor, *, trained=4096, theta=10_000.0):
    """`pair - first / (last - first)`."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return mixed(angle, factor, (pair - first / max(last - first, 0.001)).clamp(0, 1))


@wrong
def from_zero_to_last(d_rope, factor, *, trained=4096, theta=10_000.0):
    """pair / last: the ramp starts at the first pair of all."""
    pair, angle, _, last = given(d_rope, trained, theta)
    return mixed(angle, factor, ramp_of(pair, 0, last))


@wrong
def smoothstep(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A ramp with rounded ends, 3r² - 2r³."""
    pair, angle, first, last = given(d_rope, trained, theta)
    ramp = ramp_of(pair, first, last)
    return mixed(angle, factor, ramp**2 * (3 - 2 * ramp))


@wrong
def divided_part_alone(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Only the divided share: fast pairs stand still."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return angle / factor * ramp_of(pair, first, last)


@wrong
def kept_part_alone(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Only the kept share: slow pairs stand still."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return angle * (1 - ramp_of(pair, first, last))


@wrong
def both_in_full(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The kept angle is not scaled down where the divided one comes in."""
    pair, angle, first, last = given(d_rope, trained, theta)
    return angle + angle / factor * ramp_of(pair, first, last)


@wrong
def divided_twice(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Divided by the factor, and by it again for the longer text."""
    return yarn_frequencies(d_rope, factor**2, trained=trained, theta=theta)


@wrong
def the_ramp_itself(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The ramp, unmixed."""
    pair, _, first, last = given(d_rope, trained, theta)
    return ramp_of(pair, first, last)


@wrong
def longer_text_counted(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Turns counted within the extended length, not the trained one."""
    longer = int(trained * factor)
    return yarn_frequencies(d_rope, factor, trained=longer, theta=theta)


@wrong
def always_4096(d_rope, factor, *, trained=4096, theta=10_000.0):
    """4096, whatever `trained` says."""
    return yarn_frequencies(d_rope, factor, theta=theta)


@wrong
def always_10000(d_rope, factor, *, trained=4096, theta=10_000.0):
    """10,000, whatever `theta` says."""
    return yarn_frequencies(d_rope, factor, trained=trained)


@wrong
def always_40(d_rope, factor, *, trained=4096, theta=10_000.0):
    """DeepSeek's 40, whatever `factor` says."""
    return yarn_frequencies(d_rope, 40.0, trained=trained, theta=theta)


@wrong
def scaled_too(d_rope, factor, *, trained=4096, theta=10_000.0):
    """YaRN's correction of the softmax put on the angles."""
    angle = yarn_frequencies(d_rope, factor, trained=trained, theta=theta)
    return angle * (0.1 * math.log(factor) + 1)


@wrong
def slowest_first(d_rope, factor, *, trained=4096, theta=10_000.0):
    """The slowest pair first."""
    return yarn_frequencies(d_rope, factor, trained=trained, theta=theta).flip(0)


@wrong
def for_each_number(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Each angle twice, d_rope of them."""
    return yarn_frequencies(d_rope, factor, trained=trained, theta=theta).repeat_interleave(2)


@wrong
def turns_not_radians(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Turns a position, not radians."""
    return yarn_frequencies(d_rope, factor, trained=trained, theta=theta) / (2 * math.pi)


@wrong
def periods(d_rope, factor, *, trained=4096, theta=10_000.0):
    """Positions a turn, not the angle a position."""
    return 2 * math.pi / yarn_frequencies(d_rope, factor, trained=trained, theta=theta)


@wrong
def as_list(d_rope, factor, *, trained=4096, theta=10_000.0):
    """A Python list."""
    return yarn_frequencies(d_rope, factor, trained=trained, theta=theta).tolist()


@wrong
def borders_fixed(d_rope, factor, *, trained=4096, theta=10_000.0, beta_fast=32, beta_slow=1):
    """The ramp lies between 32 turns and 1, whatever borders are asked."""
    return yarn_frequencies(d_rope, factor, trained=trained, theta=theta)


@wrong
def ends_never_meet(d_rope, factor, *, trained=4096, theta=10_000.0, beta_fast=32.0, beta_slow=1.0):
    """The ramp is divided by last - first, which may be 0."""
    pair, angle, first, last = given(d_rope, trained, theta, beta_fast, beta_slow)
    ramp = ((pair - first) / (last - first)).clamp(0, 1)
    return angle * (1 - ramp) + angle / factor * ramp
