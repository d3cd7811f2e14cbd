"""Right answers to D4.3a masked_loss."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d4_deepseek.masked_loss.steps import loss_of_each


@right
def real_ones_picked_last(logits, targets, real):
    """The cross-entropy of every target, then the mean of those picked by the mask."""
    return loss_of_each(logits, targets)[real].mean()


@right
def padding_ignored(logits, targets, real):
    """Padding becomes -100, which cross_entropy ignores."""
    marked = targets.masked_fill(~real, -100)
    return F.cross_entropy(logits.flatten(0, 1), marked.flatten())


@right
def masked_sum(logits, targets, real):
    """Log-probabilities gathered, times the mask, over the number of real targets."""
    log_probs = logits.log_softmax(dim=-1).gather(-1, targets[..., None])[..., 0]
    return -(log_probs * real).sum() / real.sum()


@right
def logsumexp_less_logit(logits, targets, real):
    """logsumexp less the target's logit, picked by masked_select."""
    chosen = torch.take_along_dim(logits, targets.unsqueeze(-1), dim=-1).squeeze(-1)
    return torch.masked_select(logits.logsumexp(-1) - chosen, real).mean()


@right
def token_by_token(logits, targets, real):
    """A loop over rows and positions."""
    losses = []
    for b in range(logits.shape[0]):
        for i in range(logits.shape[1]):
            if real[b, i]:
                losses.append(-torch.log_softmax(logits[b, i], 0)[targets[b, i]])
    return sum(losses) / len(losses)


@right
def one_hot(logits, targets, real):
    """One-hot targets, zero where there is padding."""
    wanted = F.one_hot(targets, logits.shape[-1]) * real[..., None]
    return -(wanted * F.log_softmax(logits, dim=-1)).sum() / wanted.sum()


@right
def negative_log_likelihood(logits, targets, real):
    """nn.NLLLoss of log_softmax, padding set to zero by torch.where."""
    losses = nn.NLLLoss(reduction="none")(logits.log_softmax(-1).mT, targets)
    return torch.where(real, losses, torch.zeros_like(losses)).sum() / real.count_nonzero()


@right
def weighted_rows(logits, targets, real):
    """The mean of each row, weighted by its share of all real targets."""
    losses = loss_of_each(logits, targets).masked_fill(~real, 0.0)
    count = real.sum(dim=1)
    means = losses.sum(dim=1) / count.clamp(min=1)
    return (means * count / count.sum()).sum()
