"""The checks of D2.3a and D2.3b: typical slips are asked about."""

import pytest
import torch
from torch import nn

from checks.d2_deepseek_moe.groups import check_keep_top_groups
from checks.d2_deepseek_moe.router import check_biased_router
from checks.grading.check import CheckFailed
from solutions import d2_deepseek_moe as reference


def refusal(check, answer) -> str:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=3)
    return failed.value.message


def best_two(group):
    return group.topk(2, dim=-1).values.sum(dim=-1)


def of_strength(strength):
    """`keep_top_groups` with other scores of groups."""

    def keep_top_groups(scores, num_groups, top_groups):
        groups = scores.unflatten(1, (num_groups, -1))
        kept = strength(groups).topk(top_groups, dim=-1).indices
        dropped = torch.ones(groups.shape[:2], dtype=torch.bool).scatter(1, kept, False)
        return groups.masked_fill(dropped[..., None], -torch.inf).flatten(1)

    return keep_top_groups


def kept(scores, num_groups, top_groups):
    return reference.keep_top_groups(scores, num_groups, top_groups).isfinite()


def of_mask(end):
    """`keep_top_groups` that ends in another way: `end` gets the scores and what is kept."""
    return lambda scores, *numbers: end(scores, kept(scores, *numbers))


def repeated(scores, num_groups, top_groups):
    size = scores.shape[1] // num_groups
    mask = kept(scores, num_groups, top_groups)[:, ::size].repeat(1, size)
    return scores.masked_fill(~mask, -torch.inf)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (kept, "Is that the mask"),
        (of_mask(lambda s, kept: kept * s + ~kept * -torch.inf), "with -inf, as its product with"),
        (of_mask(lambda s, kept: s.masked_fill(~kept, torch.inf)), "Which number can never win"),
        (of_mask(lambda s, kept: torch.full_like(s, -torch.inf)), "All of it is -inf"),
        (repeated, "does `repeat` spread it?"),
        (lambda s, n, top: s.masked_fill(torch.arange(s.shape[1]) % n >= top, -torch.inf), "both"),
        (of_strength(lambda g: g.topk(min(3, g.shape[2])).values.sum(-1)), "and no third?"),
        (of_strength(lambda g: best_two(g.abs())), "without `abs`?"),
        (of_strength(lambda g: g[..., 0]), "do the groups of the highest scores stay?"),
        (of_strength(lambda g: best_two(g).sum()), "Are the scores taken apart into ("),
        (of_strength(lambda g: best_two(g.transpose(0, 2))), "Are the scores taken apart into ("),
        (lambda s, n, top: reference.keep_top_groups(s, 7, 1), "where one of them belongs?"),
    ],
)
def test_keep_top_groups_asks(answer, question):
    assert question in refusal(check_keep_top_groups, answer)


class FourExperts(reference.BiasedRouter):
    def __init__(self, d_model, num_experts, top_k, **options):
        super().__init__(d_model, 4, top_k, **options)


class AnotherWeight(reference.BiasedRouter):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.temperature = nn.Parameter(torch.ones(()))


class UnbiasedChoice(reference.BiasedRouter):
    """The bias orders the experts that are chosen without it."""

    def forward(self, x):
        bias = self.bias.clone()
        self.bias.zero_()
        gates, experts = super().forward(x)
        self.bias.copy_(bias)
        order = self.bias[experts].argsort(dim=-1)
        return gates.gather(1, order), experts.gather(1, order)


class OverItself(reference.BiasedRouter):
    def forward(self, x):
        gates, experts = super().forward(x)
        return (torch.full_like(gates, self.scale) if self.renormalise else gates), experts


class ScaledIfRenormalised(reference.BiasedRouter):
    def forward(self, x):
        gates, experts = super().forward(x)
        return (gates if self.renormalise else gates / self.scale), experts


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (FourExperts, "does another number stand where one of them belongs?"),
        (AnotherWeight, "all that is learned?"),
        (UnbiasedChoice, "Do the experts themselves compete by affinity + bias"),
        (OverItself, "Is each gate divided by itself?"),
        (ScaledIfRenormalised, ", with renormalise=False, must be"),
    ],
)
def test_biased_router_asks(answer, said):
    assert said in refusal(check_biased_router, answer)
