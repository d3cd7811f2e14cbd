"""Wrong answers to D4.3b train: which batches count, and what is returned."""

import math

from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.train.steps import (
    balanced,
    clipped_step,
    in_steps,
    next_token_loss,
)


@wrong
def first_batch_only(model, batches, optimizer, bias_step):
    """A return inside the loop."""
    losses = []
    for ids, real in batches:
        loss = next_token_loss(model, ids, real)
        clipped_step(model, optimizer, loss)
        balanced(model, ids, real, bias_step)
        losses.append(loss.item())
        return losses
    return losses


@wrong
def one_step_for_all(model, batches, optimizer, bias_step):
    """The gradients of all batches, and one step at the end."""
    losses = []
    optimizer.zero_grad()
    for ids, real in batches:
        loss = next_token_loss(model, ids, real)
        loss.backward()
        balanced(model, ids, real, bias_step)
        losses.append(loss.item())
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return losses


@wrong
def each_row_a_batch(model, batches, optimizer, bias_step):
    """Rows are trained on one at a time."""
    rows = ((ids[i : i + 1], real[i : i + 1]) for ids, real in batches for i in range(len(ids)))
    return in_steps(model, rows, optimizer, bias_step)


@wrong
def first_row_only(model, batches, optimizer, bias_step):
    """Of each batch the first row."""
    return in_steps(model, ((ids[:1], real[:1]) for ids, real in batches), optimizer, bias_step)


@wrong
def whole_batches_twice(model, batches, optimizer, bias_step):
    """Two passes over the batches."""
    return in_steps(model, list(batches) * 2, optimizer, bias_step)


@wrong
def last_loss_only(model, batches, optimizer, bias_step):
    """The loss of the last batch, not in a list."""
    return in_steps(model, batches, optimizer, bias_step)[-1]


@wrong
def mean_of_losses(model, batches, optimizer, bias_step):
    """One mean over all batches."""
    losses = in_steps(model, batches, optimizer, bias_step)
    return [sum(losses) / len(losses)]


@wrong
def running_mean(model, batches, optimizer, bias_step):
    """The mean of all losses so far."""
    losses = in_steps(model, batches, optimizer, bias_step)
    return [sum(losses[: i + 1]) / (i + 1) for i in range(len(losses))]


@wrong
def losses_in_bits(model, batches, optimizer, bias_step):
    """The losses in bits."""
    return [loss / math.log(2) for loss in in_steps(model, batches, optimizer, bias_step)]


@wrong
def losses_of_batches(model, batches, optimizer, bias_step):
    """The summed loss of each batch, not that of a token."""
    kept = []

    def loss_of(model, ids, real):
        kept.append(int(real[:, 1:].sum()))
        return next_token_loss(model, ids, real)

    losses = in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)
    return [loss * count for loss, count in zip(losses, kept, strict=True)]


@wrong
def losses_with_their_graph(model, batches, optimizer, bias_step):
    """Tensors with their gradient: every batch's graph stays in memory."""
    losses = []
    for ids, real in batches:
        loss = next_token_loss(model, ids, real)
        clipped_step(model, optimizer, loss)
        balanced(model, ids, real, bias_step)
        losses.append(loss)
    return losses


@wrong
def measured_after_the_step(model, batches, optimizer, bias_step):
    """The loss of the batch when the weights have moved."""
    losses = []
    for ids, real in batches:
        clipped_step(model, optimizer, next_token_loss(model, ids, real))
        balanced(model, ids, real, bias_step)
        losses.append(next_token_loss(model, ids, real).item())
    return losses


@wrong
def nothing_returned(model, batches, optimizer, bias_step):
    """The model is trained, and nothing comes back."""
    in_steps(model, batches, optimizer, bias_step)


@wrong
def padding_overwritten(model, batches, optimizer, bias_step):
    """Padding in the caller's ids becomes token 0."""

    def loss_of(model, ids, real):
        loss = next_token_loss(model, ids.clone(), real)
        ids[~real] = 0
        return loss

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)
