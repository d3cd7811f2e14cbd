import math

import pytest
import torch

from helpers.measuring.random_routing import chance_band, chance_cv


def random_loads(num_experts: int, top_k: int, tokens: int, routers: int) -> torch.Tensor:
    """The loads of routers that choose at random, `(routers, num_experts)` in float64."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(routers, tokens, num_experts, generator=generator)
    chosen = scores.topk(top_k).indices.flatten(1)
    return torch.zeros(routers, num_experts).scatter_add_(1, chosen, torch.ones(chosen.shape))


SIZES = [(4, 2, 512), (16, 2, 300), (12, 1, 120), (8, 5, 200)]


@pytest.mark.parametrize(("num_experts", "top_k", "tokens"), SIZES)
def test_random_routers_have_the_chance_cv(num_experts, top_k, tokens):
    load = random_loads(num_experts, top_k, tokens, routers=400).double()
    cv = load.std(dim=1, correction=0) / load.mean(dim=1)
    # Of squares: the formula is exact for the mean of CV², and the mean of CV is a little below.
    assert (cv**2).mean().sqrt().item() == pytest.approx(
        chance_cv(num_experts, top_k, tokens), rel=0.06
    )


@pytest.mark.parametrize(("num_experts", "top_k", "tokens"), SIZES)
@pytest.mark.parametrize("z", [1.0, 2.0])
def test_random_loads_lie_in_the_band_as_often_as_z_says(num_experts, top_k, tokens, z):
    load = random_loads(num_experts, top_k, tokens, routers=400)
    low, high = chance_band(num_experts, top_k, tokens, z)
    inside = ((load >= low) & (load <= high)).double().mean().item()
    assert inside == pytest.approx(math.erf(z / math.sqrt(2)), abs=0.08)


def test_every_expert_of_all_has_no_chance_in_it():
    assert chance_cv(4, 4, 100) == 0.0
    assert chance_band(4, 4, 100) == (100.0, 100.0)


def test_the_band_stays_between_no_token_and_all():
    low, high = chance_band(64, 1, 3, z=50.0)
    assert (low, high) == (0.0, 3.0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 10), "num_experts must be at least 1, got 0"),
        ((4, 5, 10), "top_k must be between 1 and num_experts=4, got 5"),
        ((4, 0, 10), "top_k must be between 1 and num_experts=4, got 0"),
        ((4, 2, 0), "tokens must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_named(sizes, message):
    for function in (chance_cv, chance_band):
        with pytest.raises(ValueError, match=message):
            function(*sizes)


@pytest.mark.parametrize("z", [0.0, -1.0, math.nan, math.inf])
def test_a_band_needs_a_width(z):
    with pytest.raises(ValueError, match="z must be a positive number"):
        chance_band(4, 2, 100, z)
