"""Right and wrong answers to D2.I2 most_experts."""

import math
from fractions import Fraction

from checks.audit.answers import right, wrong
from helpers.measuring.random_routing import chance_cv
from solutions.d2_deepseek_moe import most_experts


@right
def one_more_while_it_fits(top_k, tokens, limit):
    """One expert more while chance's CV stays within the limit."""
    num_experts = top_k
    while chance_cv(num_experts + 1, top_k, tokens) <= limit:
        num_experts += 1
    return num_experts


@right
def solved(top_k, tokens, limit):
    """The formula solved for E, rounded down."""
    return math.floor(top_k * (1 + limit * limit * tokens))


@right
def whole_division(top_k, tokens, limit):
    """K and the whole part of what comes on top."""
    return top_k + int(limit**2 * top_k * tokens // 1)


@right
def by_halves(top_k, tokens, limit):
    """A binary search between K, which always fits, and a number that never does."""
    fits, too_many = top_k, top_k + 1
    while chance_cv(too_many, top_k, tokens) <= limit:
        too_many *= 2
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if (middle - top_k) / (top_k * tokens) <= limit**2:
            fits = middle
        else:
            too_many = middle
    return fits


@right
def in_fractions(top_k, tokens, limit):
    """Fractions in place of floats."""
    return int(top_k + top_k * tokens * Fraction(limit) ** 2)


@wrong
def first_that_fails(top_k, tokens, limit):
    """One too many: the first number above the limit."""
    return most_experts(top_k, tokens, limit) + 1


@wrong
def one_too_few(top_k, tokens, limit):
    """One too few: the loop takes a step back at its end."""
    return most_experts(top_k, tokens, limit) - 1


@wrong
def rounded_up(top_k, tokens, limit):
    """Rounded up."""
    return math.ceil(top_k + limit**2 * top_k * tokens)


@wrong
def rounded_to_nearest(top_k, tokens, limit):
    """Rounded to the nearest whole number."""
    return round(top_k + limit**2 * top_k * tokens)


@wrong
def rounded_too_early(top_k, tokens, limit):
    """Rounded down before the factor K."""
    return top_k + top_k * int(limit**2 * tokens)


@wrong
def not_rounded(top_k, tokens, limit):
    """A fraction of an expert."""
    return top_k + limit**2 * top_k * tokens


@wrong
def whole_float(top_k, tokens, limit):
    """`//` alone: a float without a fraction."""
    return (top_k + limit**2 * top_k * tokens) // 1


@wrong
def k_not_added(top_k, tokens, limit):
    """E / (K·T): K is not added back."""
    return int(limit**2 * top_k * tokens)


@wrong
def one_added_for_k(top_k, tokens, limit):
    """(E - 1) / (K·T): Switch has K = 1."""
    return int(1 + limit**2 * top_k * tokens)


@wrong
def limit_not_squared(top_k, tokens, limit):
    """The formula is held against the CV, not its square."""
    return int(top_k + limit * top_k * tokens)


@wrong
def root_of_the_limit(top_k, tokens, limit):
    """The root of the limit for its square."""
    return int(top_k + math.sqrt(limit) * top_k * tokens)


@wrong
def tokens_forgotten(top_k, tokens, limit):
    """One token, whatever tokens says."""
    return most_experts(top_k, 1, limit)


@wrong
def tokens_as_choices(top_k, tokens, limit):
    """(E - K) / T: tokens are taken for choices."""
    return int(top_k + limit**2 * tokens)


@wrong
def upside_down(top_k, tokens, limit):
    """The limit divides where it multiplies."""
    return int(top_k + top_k * tokens / limit**2) if limit else top_k


@wrong
def e_for_k(top_k, tokens, limit):
    """(E - K) / (E·T): the load of the chosen share taken for the mean load."""
    return int(top_k / (1 - limit**2 * tokens)) if limit**2 * tokens < 1 else top_k


@wrong
def two_choices(top_k, tokens, limit):
    """K = 2, whatever top_k says."""
    return most_experts(2, tokens, limit)


@wrong
def a_tenth(top_k, tokens, limit):
    """0.1, whatever limit says."""
    return most_experts(top_k, tokens, 0.1)


@wrong
def never_above_256(top_k, tokens, limit):
    """A search that ends at V3's 256 experts."""
    fitting = [e for e in range(top_k, 257) if e - top_k <= limit**2 * top_k * tokens]
    return fitting[-1]


@wrong
def never_above_2048(top_k, tokens, limit):
    """A search that ends at 2048, more experts than any model has: a generous limit allows more."""
    fitting = [e for e in range(top_k, 2049) if e - top_k <= limit**2 * top_k * tokens]
    return fitting[-1]


@wrong
def power_of_two(top_k, tokens, limit):
    """The highest power of two that fits, as models are built."""
    return 2 ** int(math.log2(most_experts(top_k, tokens, limit)))


@wrong
def strictly_below(top_k, tokens, limit):
    """A CV of exactly the limit is refused."""
    experts = top_k
    while math.sqrt((experts + 1 - top_k) / (top_k * tokens)) < limit:
        experts += 1
    return experts


@wrong
def squared_top_k(top_k, tokens, limit):
    """K twice as a factor."""
    return int(top_k + limit**2 * top_k**2 * tokens)
