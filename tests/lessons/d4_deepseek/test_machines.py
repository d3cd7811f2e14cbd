"""What the checks of D4's experts on several machines ask, as far as one process can tell."""

import random

import pytest
import torch

from checks import CheckFailed
from checks.audit.answers import answers_to
from checks.d4_deepseek.machines import dispatch, rebalance
from checks.d4_deepseek.machines.cases import spread
from checks.d4_deepseek.machines.rows import check_rows_to_send
from checks.d4_deepseek.my_config import check_my_config
from solutions.d1_moe import dispatch_combine


@pytest.mark.parametrize(
    ("check", "name", "said"),
    [
        (check_rows_to_send, "counts_first", "Are the two exchanged?"),
        (check_rows_to_send, "running_sums", "and not where they end?"),
        (check_rows_to_send, "turned_within", "in their own order before it?"),
        (check_my_config, "drawn_by_torch", "or draw a number?"),
        (check_my_config, "scaled_without_end", "far too large or too small: scale"),
    ],
)
def test_a_slip_is_asked_about(check, name, said):
    answer = next(wrong for wrong in answers_to(check).wrong if wrong.__name__ == name)
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=0)
    assert said in failed.value.message


def test_counts_of_the_right_shape_are_asked_about_by_type_alone():
    answer = next(a for a in answers_to(check_rows_to_send).wrong if a.__name__ == "as_floats")
    with pytest.raises(CheckFailed, match=r"whole numbers floating-point ones\?$"):
        check_rows_to_send(answer, seed=0)


def test_a_sum_over_choices_is_dispatch():
    case = spread(random.Random(3), 2, idle=False)
    x, gates, experts, every = case.rows(1), case.gates(1), case.choices(1), case.experts()
    order = experts.flatten().argsort()
    with torch.no_grad():
        got = dispatch.sum_of_choices(x[order // case.top_k], order, gates, experts, every)
        assert torch.allclose(got, dispatch_combine(x, gates, experts, every))


def test_other_marks_make_other_loads():
    batch = next(b for b in rebalance._draws(random.Random(0)) if b.num_segments == 2)
    asks = rebalance._other_loads(batch, 0)
    whole = rebalance._whole(batch)
    for text in ("Do all rows of a token count", "Each mark is repeated", "Is it the mean over"):
        (ask,) = (ask for ask in asks if text in ask)
        assert asks[ask]().shape == whole.shape and not torch.equal(asks[ask](), whole)
