"""Right answers to D3.3d attend."""

import math

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.attend.steps import joined


@right
def by_pytorch(q_content, q_rotary, k_content, k_rotary, values):
    """PyTorch's own attention on joined keys, with a mask of what may be seen and a scale."""
    q, k = joined(q_content, q_rotary, k_content, k_rotary)
    length, seen = q.shape[1], k.shape[1]
    visible = torch.ones(length, seen, dtype=torch.bool).tril(seen - length)
    y = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=visible,
        scale=q.shape[-1] ** -0.5,
    )
    return y.transpose(1, 2)


@right
def infinity_added(q_content, q_rotary, k_content, k_rotary, values):
    """DeepSeek's own lines: two einsums, a scale, a mask of -inf that is added."""
    scores = torch.einsum("bshd,bthd->bsht", q_content, k_content)
    scores = scores + torch.einsum("bshr,btr->bsht", q_rotary, k_rotary)
    scores = scores * (q_content.size(-1) + q_rotary.size(-1)) ** -0.5
    length, seen = scores.shape[1], scores.shape[3]
    mask = torch.full((length, seen), float("-inf")).triu_(seen - length + 1).to(scores)
    scores = scores + mask.unsqueeze(1)
    return torch.einsum("bsht,bthd->bshd", scores.softmax(dim=-1), values)


@right
def least_number_filled(q_content, q_rotary, k_content, k_rotary, values):
    """The dtype's least number where others write -inf; matmul with heads before positions."""
    q_content, q_rotary, k_content, values = (
        y.transpose(1, 2) for y in (q_content, q_rotary, k_content, values)
    )
    scores = q_content @ k_content.mT + q_rotary @ k_rotary.unsqueeze(1).mT
    scores = scores / math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])
    length, seen = scores.shape[-2:]
    visible = torch.ones(seen, seen, dtype=torch.bool).tril()[seen - length :]
    scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) @ values).transpose(1, 2)


@right
def positions_compared(q_content, q_rotary, k_content, k_rotary, values):
    """A key is seen where its position is no greater than the query's."""
    q, k = joined(q_content, q_rotary, k_content, k_rotary)
    seen = k.shape[1]
    of_keys = torch.arange(seen)
    of_queries = of_keys[seen - q.shape[1] :]
    scores = torch.einsum("blhw,bshw->bhls", q, k) / q.shape[-1] ** 0.5
    scores = torch.where(of_keys <= of_queries[:, None], scores, -torch.inf)
    return torch.einsum("bhls,bshv->blhv", F.softmax(scores, dim=-1), values)


@right
def softmax_written_out(q_content, q_rotary, k_content, k_rotary, values):
    """Powers after the greatest score is taken off, hidden ones set to 0, divided by their sum."""
    scores = torch.einsum("blhd,bshd->bhls", q_content, k_content)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    scores = scores / math.sqrt(q_content.shape[-1] + k_rotary.shape[-1])
    length, seen = scores.shape[-2:]
    hidden = torch.ones(length, seen, dtype=torch.bool).triu(1 + seen - length)
    scores = scores.masked_fill(hidden, float("-inf"))
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    mixed = torch.einsum("bhls,bshv->blhv", powers, values)
    return mixed / powers.sum(dim=-1).transpose(1, 2).unsqueeze(-1)


@right
def query_by_query(q_content, q_rotary, k_content, k_rotary, values):
    """A loop over the queries, each with the keys up to its own and no mask."""
    first = k_content.shape[1] - q_content.shape[1] + 1
    scale = (q_content.shape[-1] + q_rotary.shape[-1]) ** -0.5
    rows = []
    for i in range(q_content.shape[1]):
        upto = first + i
        scores = (q_content[:, i, None] * k_content[:, :upto]).sum(dim=-1)  # (B, S, H)
        scores = scores + k_rotary[:, :upto] @ q_rotary[:, i].mT
        weights = (scale * scores).softmax(dim=1)
        rows.append((weights[..., None] * values[:, :upto]).sum(dim=1))
    return torch.stack(rows, dim=1)


@right
def flattened_heads(q_content, q_rotary, k_content, k_rotary, values):
    """Batch and heads in one dimension for bmm, the queries scaled beforehand."""
    q, k = joined(q_content, q_rotary, k_content, k_rotary)
    (batch, length, heads, width), seen = q.shape, k.shape[1]
    q, k, v = (y.transpose(1, 2).flatten(0, 1) for y in (q * width**-0.5, k, values))
    hidden = torch.ones(length, seen).triu(seen - length + 1).bool()
    weights = torch.bmm(q, k.mT).masked_fill(hidden, -math.inf).softmax(dim=-1)
    y = torch.bmm(weights, v)
    return y.view(batch, heads, length, -1).permute(0, 2, 1, 3).contiguous()


@right
def head_by_head(q_content, q_rotary, k_content, k_rotary, values):
    """A loop over the heads, stacked at last, with the shared rotary key used as it is."""
    length, seen = q_content.shape[1], k_content.shape[1]
    mask = torch.zeros(length, seen, dtype=q_content.dtype)
    mask[torch.ones(length, seen).triu(seen - length + 1) == 1] = -torch.inf
    scale = math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])
    parts = zip(*(y.unbind(2) for y in (q_content, q_rotary, k_content, values)), strict=True)
    heads = []
    for qc, qr, kc, v in parts:
        scores = (qc @ kc.mT + qr @ k_rotary.mT) / scale + mask
        heads.append(torch.softmax(scores, dim=-1) @ v)
    return torch.stack(heads, dim=2)


@right
def key_by_key(q_content, q_rotary, k_content, k_rotary, values):
    """One pass over the keys with a running maximum and a running sum, as FlashAttention does."""
    length, seen = q_content.shape[1], k_content.shape[1]
    scale = math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])
    position = torch.arange(seen - length, seen)[:, None]
    greatest = torch.full_like(q_content[..., 0], -torch.inf)
    total, mixed = torch.zeros_like(greatest), 0
    for s in range(seen):
        score = (q_content * k_content[:, s, None]).sum(-1)
        score = (score + (q_rotary * k_rotary[:, s, None, None]).sum(-1)) / scale
        score = torch.where(position >= s, score, -torch.inf)
        before, greatest = greatest, torch.maximum(greatest, score)
        shrink, power = (before - greatest).exp(), (score - greatest).exp()
        total = total * shrink + power
        mixed = mixed * shrink[..., None] + power[..., None] * values[:, s, None]
    return mixed / total[..., None]


@right
def by_logsumexp(q_content, q_rotary, k_content, k_rotary, values):
    """Each part scaled alone, and the softmax as a difference of logarithms."""
    width = q_content.shape[-1] + q_rotary.shape[-1]
    content = torch.einsum("blhd,bshd->blhs", q_content / math.sqrt(width), k_content)
    rotary = torch.einsum("blhr,bsr->blhs", q_rotary, k_rotary / math.sqrt(width))
    scores = content + rotary
    behind = torch.arange(scores.shape[-1]) - torch.arange(scores.shape[1])[:, None]
    later = behind > scores.shape[-1] - scores.shape[1]
    scores = scores.masked_fill(later[:, None], -torch.inf)
    weights = (scores - scores.logsumexp(dim=-1, keepdim=True)).exp()
    return torch.matmul(weights.transpose(1, 2), values.transpose(1, 2)).transpose(1, 2)
