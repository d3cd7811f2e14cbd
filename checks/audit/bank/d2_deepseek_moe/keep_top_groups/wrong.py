"""Wrong answers to D2.3a keep_top_groups."""

import torch

from checks.audit.answers import wrong
from solutions.d2_deepseek_moe import keep_top_groups


def grouped(scores, num_groups):
    """(T, G, E/G)."""
    return scores.unflatten(1, (num_groups, -1))


def two_best(scores, num_groups):
    """(T, G): the sum of each group's two highest scores."""
    return grouped(scores, num_groups).topk(2, dim=-1).values.sum(dim=-1)


def is_kept(strength, top_groups):
    """(T, G): whether a group is among the strongest."""
    best = strength.topk(top_groups, dim=-1).indices
    return torch.zeros_like(strength, dtype=torch.bool).scatter(1, best, True)


def outside(scores, kept, value):
    """`scores` with `value` in the groups that are not kept."""
    return grouped(scores, kept.shape[1]).masked_fill(~kept[..., None], value).flatten(1)


def strongest(scores, strength, top_groups):
    """`scores` with -inf outside the groups of greatest `strength`."""
    return outside(scores, is_kept(strength, top_groups), -torch.inf)


@wrong
def by_maximum(scores, num_groups, top_groups):
    """A group counts as much as its highest score: V2's rule."""
    return strongest(scores, grouped(scores, num_groups).amax(dim=-1), top_groups)


@wrong
def by_mean(scores, num_groups, top_groups):
    """A group counts as much as the mean of all its scores."""
    return strongest(scores, grouped(scores, num_groups).mean(dim=-1), top_groups)


@wrong
def by_second(scores, num_groups, top_groups):
    """The second highest score alone: topk without the sum."""
    second = grouped(scores, num_groups).topk(2, dim=-1).values[..., 1]
    return strongest(scores, second, top_groups)


@wrong
def by_three_best(scores, num_groups, top_groups):
    """The sum of the three highest where a group has three."""
    groups = grouped(scores, num_groups)
    strength = groups.topk(min(3, groups.shape[-1]), dim=-1).values.sum(dim=-1)
    return strongest(scores, strength, top_groups)


@wrong
def by_two_first(scores, num_groups, top_groups):
    """The first two scores of a group, not its highest two."""
    return strongest(scores, grouped(scores, num_groups)[..., :2].sum(dim=-1), top_groups)


@wrong
def by_two_lowest(scores, num_groups, top_groups):
    """The sum of the two lowest scores: sorted in rising order."""
    lowest = grouped(scores, num_groups).sort(dim=-1).values[..., :2]
    return strongest(scores, lowest.sum(dim=-1), top_groups)


@wrong
def by_two_strongest(scores, num_groups, top_groups):
    """The two scores farthest from zero, whatever their sign."""
    strength = grouped(scores, num_groups).abs().topk(2, dim=-1).values.sum(dim=-1)
    return strongest(scores, strength, top_groups)


@wrong
def by_product(scores, num_groups, top_groups):
    """The product of the two highest scores."""
    strength = grouped(scores, num_groups).topk(2, dim=-1).values.prod(dim=-1)
    return strongest(scores, strength, top_groups)


@wrong
def by_softmax(scores, num_groups, top_groups):
    """The two highest after a softmax over the experts."""
    return strongest(scores, two_best(scores.softmax(dim=-1), num_groups), top_groups)


@wrong
def strided_groups(scores, num_groups, top_groups):
    """Expert i in group i % G: neighbours are torn apart."""
    groups = scores.unflatten(1, (-1, num_groups)).transpose(1, 2)
    kept = is_kept(groups.topk(2, dim=-1).values.sum(dim=-1), top_groups)
    return groups.masked_fill(~kept[..., None], -torch.inf).transpose(1, 2).flatten(1)


@wrong
def mask_repeated_whole(scores, num_groups, top_groups):
    """`repeat` where `repeat_interleave` belongs: the mask falls on other experts."""
    kept = is_kept(two_best(scores, num_groups), top_groups)
    return scores.masked_fill(~kept.repeat(1, scores.shape[1] // num_groups), -torch.inf)


@wrong
def weakest_kept(scores, num_groups, top_groups):
    """The weakest groups are kept."""
    return strongest(scores, -two_best(scores, num_groups), top_groups)


@wrong
def mask_inverted(scores, num_groups, top_groups):
    """The strongest groups are filled and the others kept."""
    return outside(scores, ~is_kept(two_best(scores, num_groups), top_groups), -torch.inf)


@wrong
def one_too_few(scores, num_groups, top_groups):
    """One group less than asked for, at least one."""
    return keep_top_groups(scores, num_groups, max(1, top_groups - 1))


@wrong
def one_too_many(scores, num_groups, top_groups):
    """One group more than asked for where there is one."""
    return keep_top_groups(scores, num_groups, min(num_groups, top_groups + 1))


@wrong
def best_group_only(scores, num_groups, top_groups):
    """argmax: one group, whatever top_groups says."""
    return keep_top_groups(scores, num_groups, 1)


@wrong
def always_two_groups(scores, num_groups, top_groups):
    """Two groups kept, whatever top_groups says."""
    return keep_top_groups(scores, num_groups, min(2, num_groups))


@wrong
def halves(scores, num_groups, top_groups):
    """Two halves, whatever num_groups says, of which one is kept unless all are."""
    return keep_top_groups(scores, 2, 1) if top_groups < num_groups else scores.clone()


@wrong
def sizes_swapped(scores, num_groups, top_groups):
    """num_groups taken for the size of a group."""
    groups = scores.shape[1] // num_groups
    return keep_top_groups(scores, groups, min(top_groups, groups))


@wrong
def pairs_of_experts(scores, num_groups, top_groups):
    """Groups of two experts, whatever num_groups says."""
    groups = scores.shape[1] // 2
    return keep_top_groups(scores, groups, top_groups * groups // num_groups)


@wrong
def filled_with_zero(scores, num_groups, top_groups):
    """0 outside, which beats a negative score: an early slip of transformers."""
    return outside(scores, is_kept(two_best(scores, num_groups), top_groups), 0.0)


@wrong
def filled_with_minus_one(scores, num_groups, top_groups):
    """-1 outside, which a biased score can go below."""
    return outside(scores, is_kept(two_best(scores, num_groups), top_groups), -1.0)


@wrong
def filled_with_large(scores, num_groups, top_groups):
    """-1e9 outside: large, but finite."""
    return outside(scores, is_kept(two_best(scores, num_groups), top_groups), -1e9)


@wrong
def filled_with_infinity(scores, num_groups, top_groups):
    """Plus infinity outside: the sign is lost."""
    return outside(scores, is_kept(two_best(scores, num_groups), top_groups), torch.inf)


@wrong
def filled_with_nan(scores, num_groups, top_groups):
    """`mask * scores + (1 - mask) * -inf`: 0 · -inf is NaN inside the kept groups."""
    kept = is_kept(two_best(scores, num_groups), top_groups)[..., None].to(scores.dtype)
    return (kept * grouped(scores, num_groups) + (1 - kept) * -torch.inf).flatten(1)


@wrong
def only_two_kept(scores, num_groups, top_groups):
    """-inf inside a kept group too, but for the two experts that were summed."""
    groups = grouped(scores, num_groups)
    best = groups.topk(2, dim=-1).indices
    two = torch.full_like(groups, -torch.inf).scatter(-1, best, groups.gather(-1, best))
    return outside(two.flatten(1), is_kept(two_best(scores, num_groups), top_groups), -torch.inf)


@wrong
def first_token_decides(scores, num_groups, top_groups):
    """The first token's groups for every token."""
    kept = is_kept(two_best(scores, num_groups), top_groups)
    return outside(scores, kept[:1].expand_as(kept), -torch.inf)


@wrong
def batch_decides(scores, num_groups, top_groups):
    """The strength of a group summed over the batch: one choice for all tokens."""
    strength = two_best(scores, num_groups)
    return strongest(scores, strength.sum(dim=0).expand_as(strength), top_groups)


@wrong
def best_tokens(scores, num_groups, top_groups):
    """topk over dim 0: each group keeps its best tokens."""
    strength = two_best(scores, num_groups)
    best = strength.topk(min(top_groups, len(scores)), dim=0).indices
    kept = torch.zeros_like(strength, dtype=torch.bool).scatter(0, best, True)
    return outside(scores, kept, -torch.inf)


@wrong
def as_mask(scores, num_groups, top_groups):
    """The mask of kept experts, not the scores."""
    return keep_top_groups(scores, num_groups, top_groups).isfinite()


@wrong
def group_numbers(scores, num_groups, top_groups):
    """The numbers of the kept groups."""
    return two_best(scores, num_groups).topk(top_groups, dim=-1).indices


@wrong
def kept_only(scores, num_groups, top_groups):
    """Only the kept groups' scores: (T, top_groups · E/G)."""
    best = two_best(scores, num_groups).topk(top_groups, dim=-1).indices
    return grouped(scores, num_groups).take_along_dim(best[..., None], dim=1).flatten(1)


@wrong
def three_axes(scores, num_groups, top_groups):
    """(T, G, E/G), not flattened."""
    return grouped(keep_top_groups(scores, num_groups, top_groups), num_groups)


@wrong
def in_place(scores, num_groups, top_groups):
    """The caller's scores are filled and returned."""
    kept = is_kept(two_best(scores, num_groups), top_groups)
    grouped(scores.data, num_groups).masked_fill_(~kept[..., None], -torch.inf)
    return scores


@wrong
def in_float32(scores, num_groups, top_groups):
    """float32 whatever scores is."""
    return keep_top_groups(scores, num_groups, top_groups).float()


@wrong
def nothing_dropped(scores, num_groups, top_groups):
    """`masked_fill` without keeping its result: nothing is dropped."""
    kept = is_kept(two_best(scores, num_groups), top_groups)
    grouped(scores, num_groups).masked_fill(~kept[..., None], -torch.inf)
    return scores.clone()


@wrong
def all_that_reach_the_last(scores, num_groups, top_groups):
    """Every group as strong as the last one kept: of equals, more than top_groups."""
    strength = two_best(scores, num_groups)
    kept = strength >= strength.topk(top_groups, dim=-1).values[:, -1:]
    return grouped(scores, num_groups).masked_fill(~kept[..., None], -torch.inf).flatten(1)
