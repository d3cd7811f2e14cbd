"""Wrong answers to D4.3b train: which load moves which bias, and how far."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.train.steps import (
    balanced,
    clipped_step,
    in_steps,
    next_token_loss,
)
from helpers.measuring.traffic import layers_of
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import rebalance, update_bias
from solutions.d4_deepseek import masked_loss


@wrong
def never_balanced(model, batches, optimizer, bias_step):
    """No bias moves."""
    return in_steps(model, batches, optimizer, bias_step, balance=lambda *_: None)


def balancing_by(mask):
    """Every layer balanced by the tokens that `mask(real)` marks."""

    def balance(model, ids, real, bias_step):
        for layer in layers_of(model):
            rebalance(layer, mask(real), bias_step())

    return balance


@wrong
def load_of_targets(model, batches, optimizer, bias_step):
    """The mask of the targets on the tokens that went in."""
    balance = balancing_by(lambda real: real[:, 1:])
    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def load_with_padding(model, batches, optimizer, bias_step):
    """Every token counts, padding too."""
    balance = balancing_by(lambda real: torch.ones_like(real[:, 1:]))
    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def load_of_padding(model, batches, optimizer, bias_step):
    """Only padding counts."""
    balance = balancing_by(lambda real: ~real[:, :-1])
    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def marks_transposed(model, batches, optimizer, bias_step):
    """The marks flattened position by position, where the ids are row by row."""

    def turned(real):
        rows, length = real[:, :-1].shape
        return real[:, :-1].T.reshape(rows, length)

    return in_steps(model, batches, optimizer, bias_step, balance=balancing_by(turned))


@wrong
def mask_cut_when_flat(model, batches, optimizer, bias_step):
    """The mask is flattened first, then cut to the length of the inputs."""

    def cut(real):
        rows, length = real.shape
        return real.flatten()[: rows * (length - 1)].reshape(rows, length - 1)

    return in_steps(model, batches, optimizer, bias_step, balance=balancing_by(cut))


@wrong
def whole_row_goes_in(model, batches, optimizer, bias_step):
    """All N tokens go in and count; the last logits are dropped."""

    def loss_of(model, ids, real):
        return masked_loss(model(ids)[:, :-1], ids[:, 1:], real[:, 1:])

    balance = balancing_by(lambda real: real)
    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of, balance=balance)


@wrong
def first_layer_only(model, batches, optimizer, bias_step):
    """Only the first layer of experts."""

    def balance(model, ids, real, bias_step):
        for layer in layers_of(model)[:1]:
            rebalance(layer, real[:, :-1], bias_step())

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def last_layer_only(model, batches, optimizer, bias_step):
    """Only the last layer of experts."""

    def balance(model, ids, real, bias_step):
        for layer in layers_of(model)[-1:]:
            rebalance(layer, real[:, :-1], bias_step())

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def every_block_has_experts(model, batches, optimizer, bias_step):
    """Every block's feed-forward part: an AttributeError at a dense layer."""

    def balance(model, ids, real, bias_step):
        for block in model.blocks:
            rebalance(block.ffn, real[:, :-1], bias_step())

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def load_of_all_layers(model, batches, optimizer, bias_step):
    """Every bias moves by the load of all layers together."""

    @torch.no_grad()
    def balance(model, ids, real, bias_step):
        layers = layers_of(model)
        load = sum(rebalance(layer, real[:, :-1], 0.0) for layer in layers)
        for layer in layers:
            layer.router.bias.copy_(update_bias(layer.router.bias, load, bias_step()))

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def one_row_a_token(model, batches, optimizer, bias_step):
    """The mask of tokens on the rows of segments: IndexError where there are several."""

    @torch.no_grad()
    def balance(model, ids, real, bias_step):
        for layer in layers_of(model):
            bias = layer.router.bias
            load = expert_load(layer.last_experts[real[:, :-1].flatten()], len(bias))
            bias.copy_(update_bias(bias, load, bias_step()))

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def moves_twice(model, batches, optimizer, bias_step):
    """Two moves a batch."""

    def balance(*given):
        balanced(*given)
        balanced(*given)

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def sign_turned(model, batches, optimizer, bias_step):
    """Busy experts are raised."""
    return in_steps(model, batches, optimizer, lambda: -bias_step())


@wrong
def published_step(model, batches, optimizer, bias_step):
    """0.001, whatever bias_step says."""
    return in_steps(model, batches, optimizer, lambda: 0.001)


@wrong
def step_asked_once(model, batches, optimizer, bias_step):
    """bias_step is called once, before the first batch."""
    step = bias_step()
    return in_steps(model, batches, optimizer, lambda: step)


@wrong
def steps_added_up(model, batches, optimizer, bias_step):
    """The steps of all batches so far, added up."""
    steps = []

    def balance(model, ids, real, bias_step):
        steps.append(bias_step())
        balanced(model, ids, real, lambda: sum(steps))

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def rate_of_the_optimizer(model, batches, optimizer, bias_step):
    """The bias moves by the optimiser's rate."""
    rate = optimizer.param_groups[0]["lr"]
    return in_steps(model, batches, optimizer, lambda: rate)


@wrong
def from_zero(model, batches, optimizer, bias_step):
    """Every batch moves a bias of zeros."""

    def balance(model, ids, real, bias_step):
        for layer in layers_of(model):
            layer.router.bias.zero_()
        balanced(model, ids, real, bias_step)

    return in_steps(model, batches, optimizer, bias_step, balance=balance)


@wrong
def before_the_next_batch(model, batches, optimizer, bias_step):
    """The bias moves when the next batch comes: never after the last."""
    earlier = []

    def loss_of(model, ids, real):
        for pair in earlier[-1:]:
            balanced(model, *pair, bias_step)
        earlier.append((ids, real))
        return next_token_loss(model, ids, real)

    return in_steps(model, batches, optimizer, bias_step, loss_of=loss_of, balance=lambda *_: None)


@wrong
def once_at_the_end(model, batches, optimizer, bias_step):
    """The bias moves once, after the last batch."""
    kept = []
    losses = in_steps(
        model, batches, optimizer, bias_step, balance=lambda *given: kept.append(given)
    )
    balanced(*kept[-1])
    return losses


@wrong
def moves_and_feeds_again(model, batches, optimizer, bias_step):
    """The bias moves before the forward pass that is learned from."""
    losses = []
    for ids, real in batches:
        with torch.no_grad():
            model(ids[:, :-1])
        balanced(model, ids, real, bias_step)
        loss = next_token_loss(model, ids, real)
        clipped_step(model, optimizer, loss)
        losses.append(loss.item())
    return losses


@wrong
def load_by_new_weights(model, batches, optimizer, bias_step):
    """A second forward pass after the step: its choices move the bias."""

    def balance(model, ids, real, bias_step):
        with torch.no_grad():
            model(ids[:, :-1])
        balanced(model, ids, real, bias_step)

    return in_steps(model, batches, optimizer, bias_step, balance=balance)
