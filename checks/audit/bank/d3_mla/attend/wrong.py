"""Wrong answers to D3.3d attend: wrong scores or a wrong scale."""

import math

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.attend.steps import (
    content_scores,
    hidden,
    mixed,
    rotary_scores,
    scores_of,
)
from helpers.model.llama import rotate


def scaled_by(divisor, q_content, q_rotary, k_content, k_rotary, values):
    """The right attention with another divisor of the scores."""
    scores = content_scores(q_content, k_content) + rotary_scores(q_rotary, k_rotary)
    return mixed(hidden(scores / divisor), values)


@wrong
def scaled_by_content(q_content, *rest):
    """Divided by sqrt(d), as if there were no rotary part."""
    return scaled_by(math.sqrt(q_content.shape[-1]), q_content, *rest)


@wrong
def scaled_by_rotary(q_content, q_rotary, *rest):
    """Divided by sqrt(r)."""
    return scaled_by(math.sqrt(q_rotary.shape[-1]), q_content, q_rotary, *rest)


@wrong
def scaled_by_values(q_content, q_rotary, k_content, k_rotary, values):
    """Divided by sqrt(v)."""
    divisor = math.sqrt(values.shape[-1])
    return scaled_by(divisor, q_content, q_rotary, k_content, k_rotary, values)


@wrong
def scaled_by_heads(q_content, q_rotary, *rest):
    """Divided by sqrt(H + r): shape[-2] where shape[-1] is meant."""
    divisor = math.sqrt(q_content.shape[-2] + q_rotary.shape[-1])
    return scaled_by(divisor, q_content, q_rotary, *rest)


@wrong
def scaled_by_model(q_content, q_rotary, *rest):
    """Divided by the root of the width of all heads together."""
    heads, width = q_content.shape[-2], q_content.shape[-1] + q_rotary.shape[-1]
    return scaled_by(math.sqrt(heads * width), q_content, q_rotary, *rest)


@wrong
def scaled_for_v3(*inputs):
    """Divided by sqrt(192), DeepSeek-V3's width."""
    return scaled_by(math.sqrt(192), *inputs)


@wrong
def not_scaled(*inputs):
    """The scores are not scaled."""
    return scaled_by(1, *inputs)


@wrong
def scaled_without_root(q_content, q_rotary, *rest):
    """Divided by d + r."""
    return scaled_by(q_content.shape[-1] + q_rotary.shape[-1], q_content, q_rotary, *rest)


@wrong
def half_for_root(q_content, q_rotary, *rest):
    """`** 1/2` is half of the width, not its root."""
    divisor = (q_content.shape[-1] + q_rotary.shape[-1]) ** 1 / 2
    return scaled_by(divisor, q_content, q_rotary, *rest)


@wrong
def scaled_up(q_content, q_rotary, *rest):
    """Multiplied by sqrt(d + r)."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    return scaled_by(width**-0.5, q_content, q_rotary, *rest)


@wrong
def roots_added(q_content, q_rotary, *rest):
    """Divided by sqrt(d) + sqrt(r)."""
    divisor = math.sqrt(q_content.shape[-1]) + math.sqrt(q_rotary.shape[-1])
    return scaled_by(divisor, q_content, q_rotary, *rest)


@wrong
def each_part_scaled(q_content, q_rotary, k_content, k_rotary, values):
    """Content divided by sqrt(d), rotary by sqrt(r)."""
    content = content_scores(q_content, k_content) / math.sqrt(q_content.shape[-1])
    rotary = rotary_scores(q_rotary, k_rotary) / math.sqrt(q_rotary.shape[-1])
    return mixed(hidden(content + rotary), values)


@wrong
def content_not_scaled(q_content, q_rotary, k_content, k_rotary, values):
    """`a + b / c`: the rotary scores alone are divided."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    content = content_scores(q_content, k_content)
    return mixed(hidden(content + rotary_scores(q_rotary, k_rotary) / math.sqrt(width)), values)


@wrong
def rotary_not_scaled(q_content, q_rotary, k_content, k_rotary, values):
    """The rotary scores are added after the content scores are scaled."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    content = content_scores(q_content, k_content) / math.sqrt(width)
    return mixed(hidden(content + rotary_scores(q_rotary, k_rotary)), values)


@wrong
def rotary_left_out(q_content, q_rotary, k_content, k_rotary, values):
    """Content scores only."""
    return mixed(hidden(scores_of(q_content, 0 * q_rotary, k_content, k_rotary)), values)


@wrong
def content_left_out(q_content, q_rotary, k_content, k_rotary, values):
    """Rotary scores only."""
    return mixed(hidden(scores_of(0 * q_content, q_rotary, k_content, k_rotary)), values)


@wrong
def scores_multiplied(q_content, q_rotary, k_content, k_rotary, values):
    """Content scores times rotary scores."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    scores = content_scores(q_content, k_content) * rotary_scores(q_rotary, k_rotary)
    return mixed(hidden(scores / math.sqrt(width)), values)


@wrong
def rotary_summed_over_heads(q_content, q_rotary, k_content, k_rotary, values):
    """The rotary scores of all heads together for each."""
    summed = q_rotary.sum(dim=2, keepdim=True).expand_as(q_rotary)
    return mixed(hidden(scores_of(q_content, summed, k_content, k_rotary)), values)


@wrong
def rotary_of_first_head(q_content, q_rotary, k_content, k_rotary, values):
    """The first head's rotary query for all heads."""
    first = q_rotary[:, :, :1].expand_as(q_rotary)
    return mixed(hidden(scores_of(q_content, first, k_content, k_rotary)), values)


@wrong
def rotary_of_all_sequences(q_content, q_rotary, k_content, k_rotary, values):
    """An einsum that sums the rotary keys over the batch."""
    summed = k_rotary.sum(dim=0, keepdim=True).expand_as(k_rotary)
    return mixed(hidden(scores_of(q_content, q_rotary, k_content, summed)), values)


@wrong
def keys_of_first_head(q_content, q_rotary, k_content, k_rotary, values):
    """One content key for all heads, as in multi-query attention."""
    first = k_content[:, :, :1].expand_as(k_content)
    return mixed(hidden(scores_of(q_content, q_rotary, first, k_rotary)), values)


@wrong
def values_of_first_head(q_content, q_rotary, k_content, k_rotary, values):
    """The first head's values for all heads."""
    first = values[:, :, :1].expand_as(values)
    return mixed(hidden(scores_of(q_content, q_rotary, k_content, k_rotary)), first)


@wrong
def turned_again(q_content, q_rotary, k_content, k_rotary, values):
    """The rotary parts, turned already, are turned once more."""
    start = k_rotary.shape[1] - q_rotary.shape[1]
    q, k = rotate(q_rotary, start), rotate(k_rotary.unsqueeze(2)).squeeze(2)
    return mixed(hidden(scores_of(q_content, q, k_content, k)), values)


@wrong
def new_keys_only(q_content, q_rotary, k_content, k_rotary, values):
    """The last L keys and values; what was cached is not looked at."""
    k, kr, v = (y[:, -q_content.shape[1] :] for y in (k_content, k_rotary, values))
    return mixed(hidden(scores_of(q_content, q_rotary, k, kr)), v)


@wrong
def queries_scaled_in_place(q_content, q_rotary, k_content, k_rotary, values):
    """The caller's queries are scaled in place."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    q_content /= math.sqrt(width)
    q_rotary /= math.sqrt(width)
    scores = content_scores(q_content, k_content) + rotary_scores(q_rotary, k_rotary)
    return mixed(hidden(scores), values)
