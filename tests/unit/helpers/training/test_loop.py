"""The loop around a training's step goes on where another one stopped."""

import pytest
import torch
from torch import nn

from helpers.training_loops.loop import TrainingLoop


class Counted:
    """Batches that say which step they are of."""

    def batch(self, step):
        return torch.full((2, 3), step), torch.ones(2, 3, dtype=torch.bool)


def seen(loop, steps):
    """For each step: which batch came, the learning rate, and the step of the bias."""
    found = []

    def train(model, batches, optimizer, bias_step):
        ((ids, _),) = batches
        optimizer.step()
        found.append((int(ids[0, 0]), optimizer.param_groups[0]["lr"], bias_step()))
        return [0.5]

    assert [loss for _ in range(steps) for loss in loop.step(train)] == [0.5] * steps
    return found


def test_a_loop_that_goes_on_does_what_the_whole_one_does():
    whole, first, later = (TrainingLoop(nn.Linear(1, 1), Counted(), 40) for _ in range(3))
    wanted = seen(whole, 40)
    assert seen(first, 25) == wanted[:25]
    later.optimizer.load_state_dict(first.optimizer.state_dict())
    later.go_on_after(25)
    assert seen(later, 15) == wanted[25:]
    assert later.done == whole.done == 40


def test_the_bias_moves_less_over_the_last_part_and_at_the_end_not_at_all():
    loop = TrainingLoop(nn.Linear(1, 1), Counted(), 10, bias=0.5)
    steps = [step for _, _, step in seen(loop, 10)]
    assert steps == pytest.approx([0.5] * 7 + [1 / 3, 1 / 6, 0])


def test_a_training_has_a_step():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        TrainingLoop(nn.Linear(1, 1), Counted(), 0)
