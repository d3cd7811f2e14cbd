"""What answers to D4.3b train are built from."""

from torch import nn

from helpers.measuring.traffic import layers_of
from solutions.d2_deepseek_moe import rebalance
from solutions.d4_deepseek import masked_loss


def next_token_loss(model, ids, real):
    """The loss of the last N - 1 tokens, by the first N - 1."""
    return masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])


def clipped_step(model, optimizer, loss):
    """Gradients from zero, clipped to norm 1, and one step of the optimiser."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def balanced(model, ids, real, bias_step):
    """The bias of every layer of experts moves by the real tokens that went in."""
    for layer in layers_of(model):
        rebalance(layer, real[:, :-1], bias_step())


def in_steps(
    model,
    batches,
    optimizer,
    bias_step,
    *,
    loss_of=next_token_loss,
    learn=clipped_step,
    balance=balanced,
):
    """Training in three steps a batch, each of which an answer may replace."""
    losses = []
    for ids, real in batches:
        loss = loss_of(model, ids, real)
        learn(model, optimizer, loss)
        balance(model, ids, real, bias_step)
        losses.append(loss.item())
    return losses
