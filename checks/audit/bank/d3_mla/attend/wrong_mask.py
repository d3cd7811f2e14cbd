"""Wrong answers to D3.3d attend: a wrong mask, softmax or mixing."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.attend.steps import hidden, joined, later, mixed, scores_of


def masked_from(diagonal, scores, values):
    """Attention that hides what lies on this diagonal of (L, S), or above it."""
    hides = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal)
    return mixed(scores.masked_fill(hides, -torch.inf), values)


def filled(number, inputs):
    """Attention whose mask writes another number than -inf."""
    scores = scores_of(*inputs[:4])
    return mixed(scores.masked_fill(later(scores), number), inputs[4])


@wrong
def no_mask(*inputs):
    """Every query sees all positions."""
    return mixed(scores_of(*inputs[:4]), inputs[4])


@wrong
def aligned_at_the_start(*inputs):
    """triu(1): query i sees keys 0 to i, whatever was cached before."""
    return masked_from(1, scores_of(*inputs[:4]), inputs[4])


@wrong
def is_causal(*inputs):
    """PyTorch's is_causal=True, which aligns the mask at the start when L < S."""
    q, k = (y.transpose(1, 2) for y in joined(*inputs[:4]))
    v = inputs[4].transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


@wrong
def hides_itself(*inputs):
    """A query does not see its own position."""
    scores = scores_of(*inputs[:4])
    return masked_from(scores.shape[-1] - scores.shape[-2], scores, inputs[4])


@wrong
def sees_the_next(*inputs):
    """A query sees one position too many."""
    scores = scores_of(*inputs[:4])
    return masked_from(scores.shape[-1] - scores.shape[-2] + 2, scores, inputs[4])


@wrong
def square_mask(*inputs):
    """A mask (L, L), which does not fit cached positions."""
    scores = scores_of(*inputs[:4])
    length = scores.shape[-2]
    hides = torch.ones(length, length, dtype=torch.bool).triu(1)
    return mixed(scores.masked_fill(hides, -torch.inf), inputs[4])


@wrong
def no_mask_behind_a_cache(*inputs):
    """A mask only where L = S: a chunk behind cached positions sees its own future."""
    scores = scores_of(*inputs[:4])
    square = scores.shape[-1] == scores.shape[-2]
    return mixed(hidden(scores) if square else scores, inputs[4])


@wrong
def mask_inverted(*inputs):
    """Later positions are seen, and the others hidden."""
    scores = scores_of(*inputs[:4])
    return mixed(scores.masked_fill(~later(scores), -torch.inf), inputs[4])


@wrong
def reversed_mask(*inputs):
    """A query sees itself and what comes after it: tril where triu is meant."""
    scores = scores_of(*inputs[:4])
    earlier = torch.ones(scores.shape[-2:], dtype=torch.bool)
    earlier = earlier.tril(scores.shape[-1] - scores.shape[-2] - 1)
    return mixed(scores.masked_fill(earlier, -torch.inf), inputs[4])


@wrong
def filled_with_zero(*inputs):
    """Hidden scores are 0, which is a score like any other."""
    return filled(0.0, inputs)


@wrong
def filled_with_little(*inputs):
    """1e-9 where -1e9 is meant."""
    return filled(1e-9, inputs)


@wrong
def filled_with_minus_one(*inputs):
    """Hidden scores are -1."""
    return filled(-1.0, inputs)


@wrong
def ones_added(*inputs):
    """The mask of ones and zeros is added to the scores."""
    scores = scores_of(*inputs[:4])
    return mixed(scores + (~later(scores)).to(scores), inputs[4])


@wrong
def infinity_times_zero(*inputs):
    """The mask times -inf is added: 0 times infinity is NaN."""
    scores = scores_of(*inputs[:4])
    return mixed(scores + later(scores).to(scores) * -torch.inf, inputs[4])


@wrong
def masked_after_softmax(*inputs):
    """Weights of later positions are dropped after the softmax: the rest do not sum to 1."""
    scores = scores_of(*inputs[:4])
    weights = scores.softmax(dim=-1).masked_fill(later(scores), 0)
    return torch.einsum("bhls,bshv->blhv", weights, inputs[4])


@wrong
def softmax_over_queries(*inputs):
    """For each key the weights of all queries sum to 1."""
    scores = scores_of(*inputs[:4])
    weights = hidden(scores).softmax(dim=-2).masked_fill(later(scores), 0)
    return torch.einsum("bhls,bshv->blhv", weights, inputs[4])


@wrong
def softmax_over_heads(*inputs):
    """For each key the weights of all heads sum to 1."""
    scores = scores_of(*inputs[:4])
    weights = scores.softmax(dim=1).masked_fill(later(scores), 0)
    return torch.einsum("bhls,bshv->blhv", weights, inputs[4])


@wrong
def no_softmax(*inputs):
    """The scores themselves are the weights."""
    scores = scores_of(*inputs[:4])
    return torch.einsum("bhls,bshv->blhv", scores.masked_fill(later(scores), 0), inputs[4])


@wrong
def weights_transposed(*inputs):
    """The values are mixed by the columns of the weights; it fits where L = S."""
    weights = hidden(scores_of(*inputs[:4])).softmax(dim=-1)
    return torch.einsum("bhsl,bshv->blhv", weights, inputs[4])


@wrong
def mean_over_heads(*inputs):
    """All heads mix by the mean of their weights."""
    weights = hidden(scores_of(*inputs[:4])).softmax(dim=-1)
    weights = weights.mean(dim=1, keepdim=True).expand_as(weights)
    return torch.einsum("bhls,bshv->blhv", weights, inputs[4])


@wrong
def weights_detached(*inputs):
    """No gradient passes the weights to queries and keys."""
    weights = hidden(scores_of(*inputs[:4])).softmax(dim=-1).detach()
    return torch.einsum("bhls,bshv->blhv", weights, inputs[4])


@wrong
def cache_detached(*inputs):
    """Keys and values are cut from the graph, as a cache's rows are."""
    q_content, q_rotary, *cached = inputs
    k_content, k_rotary, values = (y.detach() for y in cached)
    return mixed(hidden(scores_of(q_content, q_rotary, k_content, k_rotary)), values)


@wrong
def viewed_on_the_way_in(*inputs):
    """The queries' (B, L, H, ·) viewed as (B, H, L, ·), not transposed."""
    q_content, q_rotary = (
        y.reshape(len(y), y.shape[2], y.shape[1], -1).transpose(1, 2) for y in inputs[:2]
    )
    return mixed(hidden(scores_of(q_content, q_rotary, *inputs[2:4])), inputs[4])


@wrong
def viewed_on_the_way_back(*inputs):
    """The result's (B, H, L, v) viewed as (B, L, H, v), not transposed."""
    y = mixed(hidden(scores_of(*inputs[:4])), inputs[4])
    return y.transpose(1, 2).reshape(y.shape)


@wrong
def heads_before_positions(*inputs):
    """Returns (B, H, L, v)."""
    return mixed(hidden(scores_of(*inputs[:4])), inputs[4]).transpose(1, 2)


@wrong
def heads_in_one_line(*inputs):
    """Returns (B, L, H·v)."""
    return mixed(hidden(scores_of(*inputs[:4])), inputs[4]).flatten(-2)


@wrong
def weights_too(*inputs):
    """Returns the result and the weights."""
    scores = hidden(scores_of(*inputs[:4]))
    return mixed(scores, inputs[4]), scores.softmax(dim=-1)


@wrong
def last_query_only(*inputs):
    """Only the newest query is answered."""
    return mixed(hidden(scores_of(*inputs[:4])), inputs[4])[:, -1:]


@wrong
def in_single(*inputs):
    """The result comes in float32, whatever the inputs are."""
    inputs = [y.float() for y in inputs]
    return mixed(hidden(scores_of(*inputs[:4])), inputs[4])


@wrong
def mask_of_64(*inputs):
    """A causal mask of 64 x 64, cut to fit: more positions do not fit."""
    *parts, values = inputs
    scores = scores_of(*parts)
    length, seen = scores.shape[-2:]
    mask = torch.ones(64, 64, dtype=torch.bool).triu(1)[seen - length : seen, :seen]
    return mixed(scores.masked_fill(mask, -torch.inf), values)


@wrong
def softmax_in_single(*inputs):
    """A float32 softmax, whatever the inputs are."""
    *parts, values = inputs
    weights = hidden(scores_of(*parts)).softmax(dim=-1, dtype=torch.float32)
    return torch.einsum("bhls,bshv->blhv", weights.to(values.dtype), values)
