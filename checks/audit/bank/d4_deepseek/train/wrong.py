"""Wrong answers to D4.3b train: the loss, the gradients, what is returned."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.train.steps import (
    balanced,
    clipped_step,
    in_steps,
    next_token_loss,
)
from solutions.d4_deepseek import masked_loss


@wrong
def targets_not_shifted(model, batches, optimizer, bias_step):
    """Each token is its own target."""

    def loss_of(model, ids, real):
        return masked_loss(model(ids[:, :-1]), ids[:, :-1], real[:, :-1])

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def shift_turned(model, batches, optimizer, bias_step):
    """The last N - 1 go in, and the tokens before them are the targets."""

    def loss_of(model, ids, real):
        return masked_loss(model(ids[:, 1:]), ids[:, :-1], real[:, :-1])

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def mask_not_shifted(model, batches, optimizer, bias_step):
    """The mask of the inputs chooses the targets."""

    def loss_of(model, ids, real):
        return masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, :-1])

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def learns_padding(model, batches, optimizer, bias_step):
    """Every target counts, padding too."""

    def loss_of(model, ids, real):
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def both_ends_real(model, batches, optimizer, bias_step):
    """A target counts only if its input is real too."""

    def loss_of(model, ids, real):
        return masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:] & real[:, :-1])

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def mean_of_rows(model, batches, optimizer, bias_step):
    """The mean of the rows' means: tokens of short rows count more."""

    def loss_of(model, ids, real):
        weight = real[:, 1:]
        losses = F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:], reduction="none") * weight
        return (losses.sum(dim=1) / weight.sum(dim=1).clamp(min=1)).mean()

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of)


@wrong
def loss_clamped(model, batches, optimizer, bias_step):
    """The loss, not the gradient, is held below 1."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.clamp(max=1.0).backward()
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def gradients_of_the_sum(model, batches, optimizer, bias_step):
    """The gradients are those of the summed loss; the mean comes back."""
    losses = []
    for ids, real in batches:
        loss = next_token_loss(model, ids, real)
        clipped_step(model, optimizer, loss * real[:, 1:].sum())
        balanced(model, ids, real, bias_step)
        losses.append(loss.item())
    return losses


@wrong
def accumulates(model, batches, optimizer, bias_step):
    """No zero_grad: every batch adds to the gradients of those before."""

    def learn(model, optimizer, loss):
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def zeroed_after_backward(model, batches, optimizer, bias_step):
    """zero_grad between backward and step: nothing is learned."""

    def learn(model, optimizer, loss):
        loss.backward()
        optimizer.zero_grad()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def never_clipped(model, batches, optimizer, bias_step):
    """No clipping."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def clipped_after_the_step(model, batches, optimizer, bias_step):
    """Clipped when the optimiser has already used the gradients."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def clipped_before_backward(model, batches, optimizer, bias_step):
    """Clipped when there is no gradient yet."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        loss.backward()
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


def clipping(clip):
    """The step of the optimiser with another way to clip the gradients of all parameters."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        clip([p for p in model.parameters() if p.grad is not None])
        optimizer.step()

    return learn


@wrong
def values_clipped(model, batches, optimizer, bias_step):
    """Every number of the gradient is held within 1."""
    learn = clipping(lambda weights: nn.utils.clip_grad_value_(weights, 1.0))
    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def each_parameter_clipped(model, batches, optimizer, bias_step):
    """The norm of each parameter's gradient is held within 1."""
    learn = clipping(lambda weights: [nn.utils.clip_grad_norm_(w, 1.0) for w in weights])
    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def largest_number_clipped(model, batches, optimizer, bias_step):
    """The maximum norm in place of the Euclidean one."""
    learn = clipping(lambda weights: nn.utils.clip_grad_norm_(weights, 1.0, norm_type=float("inf")))
    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def clipped_to_a_tenth(model, batches, optimizer, bias_step):
    """Clipped to norm 0.1."""
    learn = clipping(lambda weights: nn.utils.clip_grad_norm_(weights, 0.1))
    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def always_of_norm_one(model, batches, optimizer, bias_step):
    """Short gradients are lengthened to norm 1 too."""

    def normalise(weights):
        norm = torch.cat([w.grad.flatten() for w in weights]).norm()
        for weight in weights:
            weight.grad /= norm

    return in_steps(model, batches, optimizer, bias_step, learn=clipping(normalise))


@wrong
def blocks_clipped(model, batches, optimizer, bias_step):
    """The blocks are clipped, embedding and head are not."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.blocks.parameters(), 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def never_steps(model, batches, optimizer, bias_step):
    """The optimiser's step is missing."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def steps_twice(model, batches, optimizer, bias_step):
    """Two steps a batch on the same gradients."""

    def learn(model, optimizer, loss):
        clipped_step(model, optimizer, loss)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def own_optimizer(model, batches, optimizer, bias_step):
    """An AdamW of its own, the given optimiser unused."""
    own = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return in_steps(model, batches, own, bias_step)


@wrong
def optimizer_made_anew(model, batches, optimizer, bias_step):
    """The optimiser forgets its state before each batch."""

    def learn(model, optimizer, loss):
        optimizer.state.clear()
        clipped_step(model, optimizer, loss)

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@wrong
def descends_by_hand(model, batches, optimizer, bias_step):
    """Plain descent with the optimiser's rate: its momentum is not used."""

    @torch.no_grad()
    def descend(weights):
        nn.utils.clip_grad_norm_(weights, 1.0)
        for weight in weights:
            weight -= optimizer.param_groups[0]["lr"] * weight.grad
            weight.grad = None

    return in_steps(model, batches, optimizer, bias_step, learn=clipping(descend))


@wrong
def head_only(model, batches, optimizer, bias_step):
    """Only the head learns."""

    def learn(model, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        for name, weight in model.named_parameters():
            weight.grad = weight.grad if name.startswith("head") else None
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)
