"""Right and wrong answers to D2.2c fine_grained."""

import math
from typing import NamedTuple

import torch

from checks.audit.answers import right, wrong
from solutions.d2_deepseek_moe import fine_grained


def refuse(expert_dim, m):
    """The refusal that the exercise gives."""
    if m < 1 or expert_dim % m:
        raise ValueError(f"m must divide expert_dim={expert_dim}, got {m}")


class Sizes(NamedTuple):
    """The three numbers by name."""

    num_experts: int
    top_k: int
    expert_dim: int


@right
def by_name(num_experts, top_k, expert_dim, m):
    """A named tuple."""
    refuse(expert_dim, m)
    return Sizes(num_experts=num_experts * m, top_k=top_k * m, expert_dim=expert_dim // m)


@right
def by_divmod(num_experts, top_k, expert_dim, m):
    """divmod gives both the width and the reason to refuse."""
    if m < 1:
        raise ValueError(f"m must be at least 1, got {m}")
    width, left_over = divmod(expert_dim, m)
    if left_over:
        raise ValueError(f"m={m} does not divide expert_dim={expert_dim}")
    return (num_experts * m, top_k * m, width)


@right
def by_budget(num_experts, top_k, expert_dim, m):
    """The new numbers from what must stay the same: total and active width."""
    refuse(expert_dim, m)
    width = expert_dim // m
    return num_experts * expert_dim // width, top_k * expert_dim // width, width


@right
def by_true_division(num_experts, top_k, expert_dim, m):
    """A true division, made whole again."""
    refuse(expert_dim, m)
    return m * num_experts, m * top_k, int(expert_dim / m)


@right
def by_counting(num_experts, top_k, expert_dim, m):
    """The pieces laid out and counted."""
    refuse(expert_dim, m)
    pieces = [(expert, part) for expert in range(num_experts) for part in range(m)]
    chosen = [piece for piece in pieces if piece[0] < top_k]
    return len(pieces), len(chosen), len(range(0, expert_dim, m))


@wrong
def top_k_kept(num_experts, top_k, expert_dim, m):
    """top_k as it was: 1/m of the active parameters."""
    refuse(expert_dim, m)
    return m * num_experts, top_k, expert_dim // m


@wrong
def experts_kept(num_experts, top_k, expert_dim, m):
    """num_experts as it was: 1/m of all parameters."""
    refuse(expert_dim, m)
    return num_experts, m * top_k, expert_dim // m


@wrong
def width_kept(num_experts, top_k, expert_dim, m):
    """expert_dim as it was: m times the parameters."""
    refuse(expert_dim, m)
    return m * num_experts, m * top_k, expert_dim


@wrong
def width_only(num_experts, top_k, expert_dim, m):
    """Only the width changes."""
    refuse(expert_dim, m)
    return num_experts, top_k, expert_dim // m


@wrong
def float_width(num_experts, top_k, expert_dim, m):
    """`/`: the width is a float, which nn.Linear refuses."""
    refuse(expert_dim, m)
    return m * num_experts, m * top_k, expert_dim / m


@wrong
def top_k_power(num_experts, top_k, expert_dim, m):
    """top_k to the power of m."""
    refuse(expert_dim, m)
    return m * num_experts, top_k**m, expert_dim // m


@wrong
def experts_power(num_experts, top_k, expert_dim, m):
    """num_experts to the power of m."""
    refuse(expert_dim, m)
    return num_experts**m, m * top_k, expert_dim // m


@wrong
def top_k_divided(num_experts, top_k, expert_dim, m):
    """top_k divided by m."""
    refuse(expert_dim, m)
    return m * num_experts, max(1, top_k // m), expert_dim // m


@wrong
def other_way_round(num_experts, top_k, expert_dim, m):
    """m times fewer experts, m times as wide."""
    refuse(expert_dim, m)
    return num_experts // m, max(1, top_k // m), expert_dim * m


@wrong
def m_added(num_experts, top_k, expert_dim, m):
    """m added where it multiplies."""
    refuse(expert_dim, m)
    return num_experts + m, top_k + m, expert_dim // m


@wrong
def m_cuts(num_experts, top_k, expert_dim, m):
    """m cuts make m + 1 pieces."""
    refuse(expert_dim, m)
    return (m + 1) * num_experts, (m + 1) * top_k, expert_dim // (m + 1)


@wrong
def halved_m_times(num_experts, top_k, expert_dim, m):
    """Each expert halved m times."""
    refuse(expert_dim, m)
    return 2**m * num_experts, 2**m * top_k, expert_dim // 2**m


@wrong
def always_four(num_experts, top_k, expert_dim, m):
    """The paper's m = 4, whatever m says."""
    refuse(expert_dim, m)
    return 4 * num_experts, 4 * top_k, expert_dim // 4


@wrong
def one_for_shared(num_experts, top_k, expert_dim, m):
    """One choice less, set aside for a shared expert: the paper's next step."""
    refuse(expert_dim, m)
    return m * num_experts, m * top_k - 1, expert_dim // m


@wrong
def top_k_first(num_experts, top_k, expert_dim, m):
    """top_k before num_experts."""
    refuse(expert_dim, m)
    return m * top_k, m * num_experts, expert_dim // m


@wrong
def width_second(num_experts, top_k, expert_dim, m):
    """expert_dim before top_k."""
    refuse(expert_dim, m)
    return m * num_experts, expert_dim // m, m * top_k


@wrong
def rounded_down(num_experts, top_k, expert_dim, m):
    """No refusal: the width is rounded down when m does not divide it."""
    if m < 1:
        raise ValueError(f"m must be at least 1, got {m}")
    return m * num_experts, m * top_k, expert_dim // m


@wrong
def rounded_up(num_experts, top_k, expert_dim, m):
    """No refusal: the width is rounded up when m does not divide it."""
    if m < 1:
        raise ValueError(f"m must be at least 1, got {m}")
    return m * num_experts, m * top_k, math.ceil(expert_dim / m)


@wrong
def none_for_refusal(num_experts, top_k, expert_dim, m):
    """None when m does not divide the width."""
    if m < 1 or expert_dim % m:
        return None
    return m * num_experts, m * top_k, expert_dim // m


@wrong
def refuses_other_number(num_experts, top_k, expert_dim, m):
    """Refuses an m that does not divide num_experts, and lets the width be rounded."""
    if m < 1 or num_experts % m:
        raise ValueError(f"m must divide num_experts={num_experts}, got {m}")
    return m * num_experts, m * top_k, expert_dim // m


@wrong
def combinations(num_experts, top_k, expert_dim, m):
    """The number of expert combinations in place of top_k."""
    refuse(expert_dim, m)
    return m * num_experts, math.comb(m * num_experts, m * top_k), expert_dim // m


@wrong
def as_list(num_experts, top_k, expert_dim, m):
    """A list."""
    return list(fine_grained(num_experts, top_k, expert_dim, m))


@wrong
def as_tensor(num_experts, top_k, expert_dim, m):
    """A tensor of three numbers."""
    return torch.tensor(fine_grained(num_experts, top_k, expert_dim, m))


@wrong
def without_width(num_experts, top_k, expert_dim, m):
    """Two numbers: the width is forgotten."""
    refuse(expert_dim, m)
    return m * num_experts, m * top_k


@wrong
def one_stays_one(num_experts, top_k, expert_dim, m):
    """A token that chose one expert still chooses one: right for every other top-k."""
    experts, chosen, width = fine_grained(num_experts, top_k, expert_dim, m)
    return experts, 1 if top_k == 1 else chosen, width


@wrong
def never_more_than_there_were(num_experts, top_k, expert_dim, m):
    """The new top-k cut off at the old number of experts: right while few are chosen."""
    experts, chosen, width = fine_grained(num_experts, top_k, expert_dim, m)
    return experts, min(chosen, num_experts), width


@wrong
def never_all(num_experts, top_k, expert_dim, m):
    """At least one expert is left out, where all were chosen before."""
    experts, chosen, width = fine_grained(num_experts, top_k, expert_dim, m)
    return experts, min(chosen, experts - 1), width
