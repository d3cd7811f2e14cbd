"""The optimiser and the learning rate of every training in the course."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def optimiser_and_schedule(
    model: nn.Module, lr: float, steps: int
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW over all parameters of `model`, and its schedule for a training of `steps` steps.

    Call `schedule.step()` after each `optimizer.step()`: the rate rises to `lr` and falls to 0 as
    `warm_up_then_decay` says. The betas are V3's (arXiv 2412.19437, section 4.2), and so is the
    weight decay of 0.1.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    return optimizer, LambdaLR(optimizer, lambda step: warm_up_then_decay(step, steps))


def warm_up_then_decay(step: int, steps: int) -> float:
    """The share of the learning rate at `step`, counted from 0: linear both ways.

    It reaches 1 after 30 steps, or at the last of fewer, and would be 0 at step `steps`.
    """
    warm_up = min(30, steps)
    return min((step + 1) / warm_up, (steps - step) / (steps - warm_up + 1))
