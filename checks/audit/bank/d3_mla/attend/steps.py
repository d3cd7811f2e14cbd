"""What answers to D3.3d attend are built from."""

import math

import torch


def joined(q_content, q_rotary, k_content, k_rotary):
    """Queries (B, L, H, d + r) and keys (B, S, H, d + r), the rotary key repeated for each head."""
    shared = k_rotary.unsqueeze(2).expand(-1, -1, k_content.shape[2], -1)
    return torch.cat([q_content, q_rotary], dim=-1), torch.cat([k_content, shared], dim=-1)


def content_scores(q_content, k_content):
    """(B, H, L, S), not scaled."""
    return torch.einsum("blhd,bshd->bhls", q_content, k_content)


def rotary_scores(q_rotary, k_rotary):
    """(B, H, L, S), not scaled."""
    return torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)


def scores_of(q_content, q_rotary, k_content, k_rotary):
    """(B, H, L, S), right and scaled."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    scores = content_scores(q_content, k_content) + rotary_scores(q_rotary, k_rotary)
    return scores / math.sqrt(width)


def later(scores):
    """Which keys a query must not see, (L, S)."""
    length, seen = scores.shape[-2:]
    return torch.ones(length, seen, dtype=torch.bool).triu(seen - length + 1)


def hidden(scores):
    """The scores with -inf at later positions."""
    return scores.masked_fill(later(scores), -torch.inf)


def mixed(scores, values):
    """(B, L, H, v): the softmax of scores (B, H, L, S) without a mask, and the values mixed."""
    return torch.einsum("bhls,bshv->blhv", scores.softmax(dim=-1), values)
