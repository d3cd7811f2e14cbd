"""Wrong answers to D4.3a masked_loss."""

import math

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.masked_loss.steps import loss_of_each


@wrong
def mean_of_all(logits, targets, real):
    """The mask is not used: padding counts."""
    return loss_of_each(logits, targets).mean()


@wrong
def zeros_in_the_mean(logits, targets, real):
    """Padding becomes zero, and the mean is over all."""
    return (loss_of_each(logits, targets) * real).mean()


@wrong
def summed(logits, targets, real):
    """The sum, no mean."""
    return loss_of_each(logits, targets)[real].sum()


@wrong
def a_row(logits, targets, real):
    """The sum over the number of rows: nats a row."""
    return loss_of_each(logits, targets)[real].sum() / len(logits)


@wrong
def mean_of_rows(logits, targets, real):
    """The mean of the rows' means: tokens of short rows count more."""
    losses = loss_of_each(logits, targets) * real
    return (losses.sum(dim=1) / real.sum(dim=1).clamp(min=1)).mean()


@wrong
def mean_of_positions(logits, targets, real):
    """The mean of the positions' means: tokens where few rows are left count more."""
    losses = loss_of_each(logits, targets) * real
    return (losses.sum(dim=0) / real.sum(dim=0).clamp(min=1)).mean()


@wrong
def mask_on_logits(logits, targets, real):
    """The logits of padding become zero: each costs log V."""
    return loss_of_each(logits * real[..., None], targets).mean()


@wrong
def mask_on_targets(logits, targets, real):
    """Targets times the mask: padding must be predicted as token 0."""
    return loss_of_each(logits, targets * real).mean()


@wrong
def token_zero_ignored(logits, targets, real):
    """Padding becomes token 0, which is ignored, and so is a real token 0."""
    return F.cross_entropy(logits.flatten(0, 1), (targets * real).flatten(), ignore_index=0)


@wrong
def zero_for_padding(logits, targets, real):
    """`ignore_index=0` in place of the mask."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)


@wrong
def mask_turned(logits, targets, real):
    """Padding alone counts; 0 where there is none."""
    padding = ~real
    return (loss_of_each(logits, targets) * padding).sum() / padding.sum().clamp(min=1)


@wrong
def padding_on_the_right(logits, targets, real):
    """The first positions of each row, as many as are real."""
    first = torch.arange(real.shape[1]) < real.sum(dim=1, keepdim=True)
    return loss_of_each(logits, targets)[first].mean()


@wrong
def rows_without_padding(logits, targets, real):
    """Up to the shortest row's number of real targets."""
    end = max(int(real.sum(dim=1).min()), 1)
    return loss_of_each(logits, targets)[:, :end].mean()


@wrong
def positions_first(logits, targets, real):
    """The mask turned to (L, B) before it is flattened."""
    return loss_of_each(logits, targets).flatten()[real.T.flatten()].mean()


@wrong
def shifted_again(logits, targets, real):
    """The targets are shifted once more."""
    return loss_of_each(logits[:, :-1], targets[:, 1:])[real[:, 1:]].mean()


@wrong
def first_row_only(logits, targets, real):
    """The first row of the batch."""
    return loss_of_each(logits[:1], targets[:1])[real[:1]].mean()


@wrong
def last_position_only(logits, targets, real):
    """The last real target of each row."""
    last = real & (real.flip(1).cumsum(1).flip(1) == 1)
    return loss_of_each(logits, targets)[last].mean()


@wrong
def reshaped(logits, targets, real):
    """`reshape` to (B, V, L) where a transpose is wanted."""
    b, length, v = logits.shape
    turned = logits.reshape(b, v, length)
    return F.cross_entropy(turned, targets, reduction="none")[real].mean()


@wrong
def viewed(logits, targets, real):
    """`view(-1)` of targets that are a slice: a RuntimeError where they are not contiguous."""
    losses = F.cross_entropy(logits.flatten(0, 1), targets.view(-1), reduction="none")
    return losses[real.flatten()].mean()


@wrong
def softmax_twice(logits, targets, real):
    """Probabilities go into cross_entropy, which takes a softmax of them."""
    return F.cross_entropy(logits[real].softmax(dim=-1), targets[real])


@wrong
def probabilities(logits, targets, real):
    """No logarithm: minus the mean probability."""
    return F.nll_loss(logits[real].softmax(dim=-1), targets[real])


@wrong
def logits_as_log_probabilities(logits, targets, real):
    """No softmax: minus the mean logit of the targets."""
    return F.nll_loss(logits[real], targets[real])


@wrong
def softmax_over_positions(logits, targets, real):
    """The softmax runs over positions."""
    return F.nll_loss(logits.log_softmax(dim=1)[real], targets[real])


@wrong
def exponentials_by_hand(logits, targets, real):
    """exp without the maximum taken off: large logits give inf over inf."""
    powers = logits[real].exp()
    chosen = powers.gather(1, targets[real][:, None])[:, 0]
    return -(chosen / powers.sum(dim=1)).log().mean()


@wrong
def log_likelihood(logits, targets, real):
    """The sign is missing: the better, the larger."""
    return -F.cross_entropy(logits[real], targets[real])


@wrong
def in_bits(logits, targets, real):
    """The binary logarithm."""
    return F.cross_entropy(logits[real], targets[real]) / math.log(2)


@wrong
def perplexity(logits, targets, real):
    """The exponential of the mean."""
    return F.cross_entropy(logits[real], targets[real]).exp()


@wrong
def label_smoothing(logits, targets, real):
    """A tenth of the weight goes to all tokens."""
    return F.cross_entropy(logits[real], targets[real], label_smoothing=0.1)


@wrong
def detached(logits, targets, real):
    """The right number without a gradient."""
    return loss_of_each(logits.detach(), targets)[real].mean()


@wrong
def one_number_in_a_row(logits, targets, real):
    """Shape (1,) in place of a tensor without dimensions."""
    return loss_of_each(logits, targets)[real].mean(dim=0, keepdim=True)


@wrong
def one_loss_a_row(logits, targets, real):
    """The mean of each row, `(B,)`."""
    losses = loss_of_each(logits, targets) * real
    return losses.sum(dim=1) / real.sum(dim=1).clamp(min=1)


@wrong
def targets_spoilt(logits, targets, real):
    """The right loss, but padding in the caller's targets becomes -100."""
    targets[~real] = -100
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def of_spans(logits, targets, spans):
    """The mean over a slice of each row."""
    pairs = [(row[span], ids[span]) for row, ids, span in zip(logits, targets, spans, strict=True)]
    scores, wanted = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return F.cross_entropy(scores, wanted)


@wrong
def from_the_first_on(logits, targets, real):
    """From each row's first real target on, as many as are real."""
    first = real.int().argmax(dim=1)
    bounds = zip(first.tolist(), (first + real.sum(dim=1)).tolist(), strict=True)
    return of_spans(logits, targets, [slice(start, end) for start, end in bounds])


@wrong
def from_first_to_last(logits, targets, real):
    """All from each row's first real target to its last."""
    inside = (real.cumsum(1) > 0) & (real.flip(1).cumsum(1).flip(1) > 0)
    return F.cross_entropy(logits[inside], targets[inside])


@wrong
def up_to_the_first_padding(logits, targets, real):
    """Rows that begin with a real target end at their first padding."""
    begun = torch.where(real[:, :1], real.cumprod(dim=1).bool(), real)
    return F.cross_entropy(logits[begun], targets[begun])


@wrong
def logits_of_padding_at_zero(logits, targets, real):
    """Padding's logits are set to 0 and its loss, log V, stays in the mean."""
    return F.cross_entropy((logits * real[..., None]).flatten(0, 1), targets.flatten())


@wrong
def smoothed(logits, targets, real):
    """A tenth of each target is given to all tokens."""
    return F.cross_entropy(logits[real], targets[real], label_smoothing=0.1)


@wrong
def logarithm_of_the_mean(logits, targets, real):
    """The logarithm after the mean of the probabilities."""
    chosen = logits.softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -chosen[real].mean().log()
