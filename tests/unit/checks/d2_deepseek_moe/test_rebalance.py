"""What D2.3e asks about what comes back, and about where the new bias is put."""

import pytest
import torch

from checks.audit.known_mistakes import known_mistakes
from checks.d2_deepseek_moe.balancing.rebalance import check_rebalance
from checks.grading.result import CheckFailed

MISTAKES = known_mistakes("D2.3e")


def counts_too_many(layer, real, step):
    """The load of more experts than any layer has."""
    rows = real.reshape(-1).repeat_interleave(layer.num_segments)
    load = torch.bincount(layer.last_experts[rows].flatten(), minlength=14)
    return layer.router.bias + step * (load.double().mean() - load).sign()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (MISTAKES["bias_returned"], "the load must be int64, got float32, .* and not the new bias"),
        (MISTAKES["learnable"], "must stay a buffer, .*, and it is an nn.Parameter"),
        (MISTAKES["kept_on_the_layer"], "not into a local name or another attribute"),
        (counts_too_many, r"The bias has \d+ numbers, .*: does the load have as many"),
        (MISTAKES["published_step_for_none"], "at a step of 0 the bias of expert"),
    ],
)
def test_a_refusal_says_what_came_and_where_it_belongs(mistake, said):
    with pytest.raises(CheckFailed, match=said):
        check_rebalance(mistake, seed=0)
