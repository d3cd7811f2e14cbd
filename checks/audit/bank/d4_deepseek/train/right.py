"""Right answers to D4.3b train."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d4_deepseek.train.steps import balanced, in_steps, next_token_loss
from helpers.measuring.traffic import layers_of
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import rebalance, update_bias


@right
def inputs_and_targets_named(model, batches, optimizer, bias_step):
    """Zeroed first, inputs and targets named, real targets picked before the cross-entropy."""
    losses = []
    for ids, real in batches:
        optimizer.zero_grad()
        inputs, targets = ids[:, :-1], ids[:, 1:]
        fed, wanted = real[:, :-1], real[:, 1:]
        loss = F.cross_entropy(model(inputs)[wanted], targets[wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        step = bias_step()
        for block in model.blocks:
            if hasattr(block.ffn, "router"):
                rebalance(block.ffn, fed, step)
        losses.append(float(loss.detach()))
    return losses


@right
def clipped_by_hand(model, batches, optimizer, bias_step):
    """The norm of all gradients by hand; scaled where it is over 1."""

    def learn(model, optimizer, loss):
        model.zero_grad()
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        for gradient in gradients if norm > 1 else []:
            gradient /= norm
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@right
def by_autograd(model, batches, optimizer, bias_step):
    """torch.autograd.grad, scaled and put into `.grad`."""

    def learn(model, optimizer, loss):
        weights = list(model.parameters())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        norm = sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = None if gradient is None else gradient / max(norm, 1.0)
        optimizer.step()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)


@right
def by_closure(model, batches, optimizer, bias_step):
    """Loss, gradients and clipping in a closure that the optimiser calls."""
    losses = []
    for ids, real in batches:

        def closure(ids=ids, real=real):
            optimizer.zero_grad(set_to_none=True)
            loss = next_token_loss(model, ids, real)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1)
            return loss

        losses.append(optimizer.step(closure).item())
        for layer in layers_of(model):
            rebalance(layer, real[:, :-1], bias_step())
    return losses


@right
def bias_moved_by_hand(model, batches, optimizer, bias_step):
    """Each token's choices in one row, their load, and the bias moved without `rebalance`."""

    @torch.no_grad()
    def balance(model, ids, real, bias_step):
        fed, step = real[:, :-1].flatten(), bias_step()
        for layer in layers_of(model):
            choices = layer.last_experts.reshape(len(fed), -1)[fed]
            bias = layer.router.bias
            bias.copy_(update_bias(bias, expert_load(choices, len(bias)), step))

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@right
def summed_and_divided(model, batches, optimizer, bias_step):
    """The masked sum of log-probabilities over the number of real targets; zeros kept as zeros."""
    model.train()
    losses = []
    for ids, real in batches:
        targets, weight = ids[:, 1:, None], real[:, 1:]
        picked = model(ids[:, :-1]).log_softmax(dim=-1).gather(-1, targets).squeeze(-1)
        loss = -(picked * weight).sum() / weight.sum()
        losses += [loss.detach().item()]
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, norm_type=2)
        optimizer.step()
        balanced(model, ids, real, bias_step)
    return losses


@right
def zeroed_behind_the_step(model, batches, optimizer, bias_step):
    """zero_grad behind the step, as in PyTorch's own introduction."""

    def learn(model, optimizer, loss):
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return in_steps(model, batches, optimizer, bias_step, learn=learn)
