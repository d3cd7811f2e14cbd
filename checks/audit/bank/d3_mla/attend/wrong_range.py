"""Wrong answers to D3.3d attend: right for scores near 0 in float32 and float64 alone."""

import math

import torch

from checks.audit.answers import wrong


def _scores(q_content, q_rotary, k_content, k_rotary):
    scores = torch.einsum("blhd,bshd->bhls", q_content, k_content)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    return scores / math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])


@wrong
def exp_without_the_largest(q_content, q_rotary, k_content, k_rotary, values):
    """exp of the scores themselves, which overflows."""
    raised = _scores(q_content, q_rotary, k_content, k_rotary).exp()
    length, seen = raised.shape[-2:]
    raised = raised * torch.ones(length, seen).tril(seen - length).to(raised)
    return torch.einsum("bhls,bshv->blhv", raised / raised.sum(-1, keepdim=True), values)


@wrong
def hidden_by_minus_50(q_content, q_rotary, k_content, k_rotary, values):
    """Later positions get a score of -50, which others may fall below."""
    scores = _scores(q_content, q_rotary, k_content, k_rotary)
    length, seen = scores.shape[-2:]
    later = torch.ones(length, seen, dtype=torch.bool).triu(seen - length + 1)
    weights = scores.masked_fill(later, -50.0).softmax(-1)
    return torch.einsum("bhls,bshv->blhv", weights, values)


@wrong
def mask_in_float32(q_content, q_rotary, k_content, k_rotary, values):
    """The mask is made in torch's default type, and widens narrower scores."""
    scores = _scores(q_content, q_rotary, k_content, k_rotary)
    length, seen = scores.shape[-2:]
    weights = (scores + torch.full((length, seen), -torch.inf).triu(seen - length + 1)).softmax(-1)
    return torch.einsum("bhls,bshv->blhv", weights, values)
