"""Right and wrong answers to D2.I1 control_bias."""

from itertools import accumulate

import numpy as np
import torch

from checks.audit.answers import right, wrong
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import control_bias, update_bias

EQUIVALENT_MUTANTS = {
    (
        "bias, path = (torch.zeros_like(affinity[0, 0]), []) → "
        "bias, path = (torch.zeros_like(affinity[0, 1]), [])"
    ): "zeros like any token's affinities are the same zeros",
    (
        "experts = (scores + bias).topk(top_k, dim=-1).indices → "
        "experts = (scores + bias).topk(top_k).indices"
    ): "the last dimension is what topk takes when none is named",
}


def load_of(scores, top_k):
    """How often each expert is among the `top_k` highest of a token."""
    return expert_load(scores.topk(top_k, dim=-1).indices, scores.shape[-1])


@right
def row_after_row(affinity, top_k, step):
    """Rows of one tensor, each from the row before it; the start cut off."""
    batches, _, num_experts = affinity.shape
    path = affinity.new_zeros(batches + 1, num_experts)
    for s in range(batches):
        path[s + 1] = update_bias(path[s], load_of(affinity[s] + path[s], top_k), step)
    return path[1:]


@right
def copies_of_one_bias(affinity, top_k, step):
    """One bias moved in place, a copy of it kept; experts chosen by a full sort."""
    bias, path = affinity.new_zeros(affinity.shape[-1]), []
    for scores in affinity:
        order = (scores + bias).argsort(dim=-1, descending=True)
        load = torch.bincount(order[:, :top_k].flatten(), minlength=len(bias))
        bias += step * (load.double().mean() - load).sign().to(bias.dtype)
        path.append(bias.clone())
    return torch.stack(path)


@right
def accumulated(affinity, top_k, step):
    """`itertools.accumulate` over the batches."""

    def next_bias(bias, scores):
        return update_bias(bias, load_of(scores + bias, top_k), step)

    start = torch.zeros_like(affinity[0, 0])
    return torch.stack(list(accumulate(affinity, next_bias, initial=start))[1:])


@right
def in_numpy(affinity, top_k, step):
    """NumPy and back."""
    numbers = affinity.numpy()
    bias, path = np.zeros_like(numbers[0, 0]), []
    for scores in numbers:
        experts = np.argpartition(-(scores + bias), top_k - 1, axis=1)[:, :top_k]
        load = np.bincount(experts.ravel(), minlength=len(bias))
        bias = (bias + step * np.sign(load.mean() - load)).astype(numbers.dtype)
        path.append(bias)
    return torch.from_numpy(np.stack(path))


@right
def against_the_last_chosen(affinity, top_k, step):
    """An expert is chosen where it reaches the K-th highest of the token; steps are counted."""
    steps, path = torch.zeros(affinity.shape[-1], dtype=torch.int64), []
    for scores in affinity:
        biased = scores + step * steps.to(scores.dtype)
        load = (biased >= biased.topk(top_k).values[:, -1:]).sum(dim=0)
        steps = steps + (load.sum() - load * len(load)).sign()
        path.append(steps)
    return step * torch.stack(path).to(affinity.dtype)


@wrong
def before_each_batch(affinity, top_k, step):
    """The bias each batch was routed with: the first row is zero."""
    path = control_bias(affinity, top_k, step)
    return torch.cat([path.new_zeros(1, path.shape[1]), path[:-1]])


@wrong
def start_kept(affinity, top_k, step):
    """The start is kept too: S + 1 rows."""
    path = control_bias(affinity, top_k, step)
    return torch.cat([path.new_zeros(1, path.shape[1]), path])


@wrong
def own_load_in_time(affinity, top_k, step):
    """The bias sees a batch's own load first, then routes that batch, then moves."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        seen = update_bias(bias, load_of(scores + bias, top_k), step)
        bias = update_bias(bias, load_of(scores + seen, top_k), step)
        path.append(bias)
    return torch.stack(path)


@wrong
def bias_never_chooses(affinity, top_k, step):
    """Chosen by affinity alone: the bias runs away."""
    loads = (load_of(scores, top_k) for scores in affinity)
    start = torch.zeros_like(affinity[0, 0])
    path = accumulate(loads, lambda b, load: update_bias(b, load, step), initial=start)
    return torch.stack(list(path)[1:])


@wrong
def adds_to_the_input(affinity, top_k, step):
    """`scores += bias`: right numbers, and the caller's affinities have changed."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        scores += bias
        bias = update_bias(bias, load_of(scores, top_k), step)
        path.append(bias)
    return torch.stack(path)


@wrong
def biases_pile_up(affinity, top_k, step):
    """Every bias so far is added to the affinities, not the last one alone."""
    path, total = [torch.zeros_like(affinity[0, 0])], 0
    for scores in affinity:
        total = total + path[-1]
        path.append(update_bias(path[-1], load_of(scores + total, top_k), step))
    return torch.stack(path[1:])


@wrong
def sign_turned(affinity, top_k, step):
    """Busy experts are raised."""
    return control_bias(affinity, top_k, -step)


@wrong
def one_object(affinity, top_k, step):
    """The same tensor appended each time: every row is the last."""
    return control_bias(affinity, top_k, step)[-1].repeat(len(affinity), 1)


@wrong
def last_only(affinity, top_k, step):
    """The last bias, not the path to it."""
    return control_bias(affinity, top_k, step)[-1]


@wrong
def top_two(affinity, top_k, step):
    """Two experts a token, whatever top_k says."""
    return control_bias(affinity, 2, step)


@wrong
def whole_batch_as_one(affinity, top_k, step):
    """One load over all batches at once."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for _ in affinity:
        bias = update_bias(bias, load_of((affinity + bias).flatten(0, 1), top_k), step)
        path.append(bias)
    return torch.stack(path)


@wrong
def first_batch_again(affinity, top_k, step):
    """The first batch is routed S times."""
    return control_bias(affinity[:1].expand_as(affinity), top_k, step)


@wrong
def token_by_token(affinity, top_k, step):
    """One step a token, not a batch."""
    tokens = affinity.flatten(0, 1)[:, None]
    return control_bias(tokens, top_k, step)[affinity.shape[1] - 1 :: affinity.shape[1]]


@wrong
def proportional(affinity, top_k, step):
    """step times the difference itself."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        load = load_of(scores + bias, top_k)
        bias = bias + step * (load.double().mean() - load).to(bias.dtype)
        path.append(bias)
    return torch.stack(path)


@wrong
def since_the_start(affinity, top_k, step):
    """The load of all batches so far moves the bias."""
    bias, total, path = torch.zeros_like(affinity[0, 0]), 0, []
    for scores in affinity:
        total = total + load_of(scores + bias, top_k)
        bias = update_bias(bias, total, step)
        path.append(bias)
    return torch.stack(path)


@wrong
def affinities_softmaxed(affinity, top_k, step):
    """A softmax over the affinities before the bias is added."""
    return control_bias(affinity.softmax(dim=-1), top_k, step)


@wrong
def bias_as_factor(affinity, top_k, step):
    """The affinities times 1 + bias."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        bias = update_bias(bias, load_of(scores * (1 + bias), top_k), step)
        path.append(bias)
    return torch.stack(path)


@wrong
def steps_only(affinity, top_k, step):
    """Each batch moves a bias of zeros."""
    zeros = torch.zeros_like(affinity[0, 0])
    return torch.stack([update_bias(zeros, load_of(s, top_k), step) for s in affinity])


@wrong
def as_list(affinity, top_k, step):
    """A list of tensors, never stacked."""
    return list(control_bias(affinity, top_k, step))


@wrong
def published_step_for_none(affinity, top_k, step):
    """`step or 0.001`: at a step of 0 the bias moves by V3's."""
    return control_bias(affinity, top_k, step or 0.001)


@wrong
def up_at_the_mean(affinity, top_k, step):
    """The sign in two cases: an expert exactly at the mean goes up."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        load = load_of(scores + bias, top_k)
        above = load * len(load) > load.sum()
        bias = torch.where(above, bias - step, bias + step)
        path.append(bias)
    return torch.stack(path)


@wrong
def down_at_the_mean(affinity, top_k, step):
    """The sign in two cases: an expert exactly at the mean goes down."""
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        load = load_of(scores + bias, top_k)
        under = load * len(load) < load.sum()
        bias = torch.where(under, bias + step, bias - step)
        path.append(bias)
    return torch.stack(path)
