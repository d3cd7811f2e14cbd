"""Wrong answers to D4.3b train: which gradients are clipped together."""

from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.train.steps import in_steps


@wrong
def first_group_clipped(model, batches, optimizer, bias_step):
    """The optimiser's first group of parameters is clipped, the others are not."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def each_group_clipped(model, batches, optimizer, bias_step):
    """Each group of the optimiser's is clipped by itself."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)
