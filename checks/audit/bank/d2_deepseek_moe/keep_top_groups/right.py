"""Right answers to D2.3a keep_top_groups."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right

EQUIVALENT_MUTANTS = {
    (
        "return groups.masked_fill(dropped[..., None], -torch.inf).flatten(1) → "
        "return groups.masked_fill(dropped[..., None], 1 + -torch.inf).flatten(1)"
    ): "1 + -inf is -inf",
}


@right
def mask_scattered(scores, num_groups, top_groups):
    """A mask of groups, expanded to experts, as transformers has it."""
    size = scores.shape[1] // num_groups
    strength = scores.view(-1, num_groups, size).topk(2, dim=-1)[0].sum(dim=-1)
    kept = torch.topk(strength, k=top_groups, dim=-1, sorted=False)[1]
    mask = torch.zeros_like(strength).scatter_(1, kept, 1)
    mask = mask.unsqueeze(-1).expand(-1, num_groups, size).reshape(scores.shape)
    return scores.masked_fill(~mask.bool(), float("-inf"))


@right
def mask_repeated(scores, num_groups, top_groups):
    """A sum of one-hot vectors, each repeated for its group's experts, and torch.where."""
    groups = torch.stack(scores.chunk(num_groups, dim=1), dim=1)
    strength = groups.sort(dim=-1).values[..., -2:].sum(dim=-1)
    mask = F.one_hot(strength.topk(top_groups).indices, num_groups).sum(dim=1)
    mask = mask.repeat_interleave(scores.shape[1] // num_groups, dim=1)
    return torch.where(mask > 0, scores, torch.tensor(-torch.inf, dtype=scores.dtype))


@right
def token_by_token(scores, num_groups, top_groups):
    """A loop over tokens and groups in Python's own sorting."""
    size, rows = scores.shape[1] // num_groups, []
    for token in scores:
        numbers = token.tolist()
        groups = [sorted(numbers[g * size : (g + 1) * size]) for g in range(num_groups)]
        order = sorted(range(num_groups), key=lambda g: -sum(groups[g][-2:]))
        drop = [i for g in order[top_groups:] for i in range(g * size, (g + 1) * size)]
        rows.append(token.index_fill(0, torch.tensor(drop, dtype=torch.long), -torch.inf))
    return torch.stack(rows)


@right
def ranked(scores, num_groups, top_groups):
    """The rank of each group by sorting twice; the mask's log added."""
    groups = scores.unflatten(1, (num_groups, -1))
    strength = groups.sort(dim=-1, descending=True)[0][..., :2].sum(dim=-1)
    rank = strength.argsort(dim=1, descending=True).argsort(dim=1)
    return (groups + (rank < top_groups).to(scores.dtype).log()[..., None]).flatten(1)


@right
def weakest_filled(scores, num_groups, top_groups):
    """The weakest groups of a copy are filled."""
    kept = scores.clone().view(len(scores), num_groups, -1)
    strength = kept.topk(2).values.sum(-1)
    weak = strength.topk(num_groups - top_groups, largest=False).indices
    kept[torch.arange(len(scores))[:, None], weak] = float("-inf")
    return kept.view_as(scores)


@right
def kept_copied(scores, num_groups, top_groups):
    """Minus infinity everywhere, then the kept experts' scores scattered in."""
    size = scores.shape[1] // num_groups
    strength = scores.reshape(-1, num_groups, size).topk(2).values.sum(-1)
    best = strength.argsort(descending=True)[:, :top_groups]
    experts = (best[..., None] * size + torch.arange(size)).flatten(1)
    return torch.full_like(scores, -torch.inf).scatter(1, experts, scores.gather(1, experts))


@right
def two_maxima(scores, num_groups, top_groups):
    """The highest score of a group, plus the highest when that one is taken out."""
    groups = scores.unflatten(1, (num_groups, -1))
    first, where = groups.max(dim=-1, keepdim=True)
    second = groups.scatter(-1, where, -torch.inf).amax(dim=-1)
    best = (first.squeeze(-1) + second).topk(top_groups).indices
    keep = (torch.arange(num_groups) == best[..., None]).any(dim=1)
    return torch.where(keep[..., None], groups, -torch.inf).flatten(1)
