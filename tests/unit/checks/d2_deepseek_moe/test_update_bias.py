"""What D2.3c asks about a wrong new bias, by the moves that it sees."""

import pytest
import torch

from checks.audit.known_mistakes import known_mistakes
from checks.d2_deepseek_moe.balancing.bias import check_update_bias
from checks.d2_deepseek_moe.balancing.moves import question
from checks.grading.result import CheckFailed

LOAD, STEP = torch.tensor([0, 4, 9, 12, 45]), 0.5  # the mean is 14
OLD = torch.tensor([0.3, -1.2, 2.0, 0.7, -0.4])
RIGHT = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0]) * STEP


@pytest.mark.parametrize(
    ("moves", "asked"),
    [
        (-RIGHT, "Whom must the next batch choose more often"),
        (RIGHT - 0.01 * OLD, "Does the old bias come in as it is, and not 0.99 times"),
        (3 * RIGHT, "Every move is 3 steps: is the step taken once"),
        (0.02 * (14 - LOAD), "the same for all, however far an expert is from the mean"),
        (RIGHT * torch.tensor([1, 3, 2, 1, 1]), "Not every move is a step"),
        (RIGHT * torch.tensor([1, 1, 0, 1, 1]), "which line leaves this one out"),
        (RIGHT * torch.tensor([1, 1, 1, -1, 1]), "as if the mean lay between 9 and 12"),
        (RIGHT * torch.tensor([1, 1, 1, 1, -1]), "as if the mean lay above 45"),
        (RIGHT * torch.tensor([0, -1, -1, -1, 1]), "as if the mean lay at 0"),
        (RIGHT * torch.tensor([-1, -1, -1, -1, 1]), "as if the mean lay below 0"),
        (RIGHT * torch.tensor([1, -1, 1, 1, 1]), "Others move the right way"),
    ],
)
def test_moves_are_asked_about_by_their_size_and_direction(moves, asked):
    assert asked in question(OLD, OLD + moves, LOAD, STEP)


def test_an_expert_at_the_mean_that_moves_is_asked_about():
    load, moves = torch.tensor([1, 3, 2]), torch.tensor([STEP, -STEP, STEP])
    assert "with exactly the mean load" in question(OLD[:3], OLD[:3] + moves, load, STEP)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("relative_step", "by the step, .*not multiplied with it"),
        ("mean_of_the_busy", "The mean is the sum of all loads, those of 0 too"),
        ("since_the_start", "after a call with another load: is something kept"),
        ("over_the_mean_in_numpy", "with no load at all the new bias must be finite"),
    ],
)
def test_a_refusal_says_what_is_multiplied_compared_or_kept(mistake, said):
    with pytest.raises(CheckFailed, match=said):
        check_update_bias(known_mistakes("D2.3c")[mistake], seed=0)
