"""What answers to D4.1, D4.2 and D4.I1 should return, by slow loops.

Attention, experts and SwiGLU are called as modules, one sequence or one token at a time; norms,
sums and products around them are written out.
"""

import re
from functools import cache

import torch

import solutions.d4_deepseek as reference


def normed(x, weight, eps):
    """Each row of x (B, L, D) over its root mean square, times the weight."""
    rows = [[row / ((row * row).sum() / len(row) + eps) ** 0.5 for row in one] for one in x]
    return torch.stack([torch.stack([weight * row for row in one]) for one in rows])


def block_by_hand(block, x, eps):
    """The output (B, L, D), what its attention caches of x, and each token's chosen experts."""
    told = normed(x, block.attention_norm.weight, eps)
    attended = torch.cat([block.attention(one[None]) for one in told])
    between = torch.stack([x, attended]).sum(dim=0)
    fed, choices = [], []
    for token in normed(between, block.ffn_norm.weight, eps).flatten(0, 1):
        fed.append(block.ffn(token[None, None])[0, 0])
        if hasattr(block.ffn, "router"):
            choices += block.ffn.last_experts.sort(dim=1).values.tolist()
    y = torch.stack(fed).reshape(x.shape) + between
    return y, cached_by_hand(block.attention, told), choices


def cached_by_hand(attention, told):
    """Latents (B, L, R) and rotary keys (B, L, r) of what attention is told."""
    rows = [(attention.latent.down(one[None]), attention.rotary_key(one[None])) for one in told]
    return [torch.cat(part).detach() for part in zip(*rows, strict=True)]


def model_by_hand(model, ids, eps):
    """Logits (B, L, V), and what each layer caches."""
    x = torch.stack([torch.stack([model.embed.weight[i] for i in row]) for row in ids.tolist()])
    told = []
    for block in model.blocks:
        x, cached, _ = block_by_hand(block, x, eps)
        told.append(cached)
    x = normed(x, model.norm.weight, eps)
    return torch.stack([(x * row).sum(dim=-1) for row in model.head.weight], dim=-1), told


def mtp_by_hand(mtp, hidden, next_embedding, eps):
    """(B, L, D)."""
    e = normed(next_embedding, mtp.embed_norm.weight, eps)
    h = normed(hidden, mtp.hidden_norm.weight, eps)
    width, weight = hidden.shape[-1], mtp.join.weight
    columns = [
        (e * row[:width]).sum(dim=-1) + (h * row[width:]).sum(dim=-1)
        for row in weight  # what each number of the joined vector takes of both
    ]
    y, _, _ = block_by_hand(mtp.block, torch.stack(columns, dim=-1), eps)
    return normed(y, mtp.norm.weight, eps)


@cache
def counted_by_hand(config):
    """Parameters in all, and without those of the experts beyond the first that can be used."""
    total = active = 0
    for name, weight in reference.DeepSeek(config).named_parameters():
        number = 1
        for length in weight.shape:
            number *= length
        expert = re.search(r"\.ffn\.experts\.experts\.(\d+)\.", name)
        is_used = not expert or int(expert[1]) in set(
            range(config.num_experts)[: config.top_k * config.num_segments]
        )
        total, active = total + number, active + number * is_used
    return total, active
