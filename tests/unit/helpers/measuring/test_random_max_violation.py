"""What pure chance does to MaxVio."""

import pytest
import torch

from helpers.measuring.random_max_violation import chance_max_violation


def test_it_is_what_random_choices_show():
    generator = torch.Generator().manual_seed(5)
    found = []
    for _ in range(300):
        chosen = torch.stack([torch.randperm(8, generator=generator)[:2] for _ in range(64)])
        load = torch.bincount(chosen.flatten(), minlength=8).float()
        found.append(float(load.max() / load.mean()) - 1)
    assert chance_max_violation(8, 2, 64) == pytest.approx(sum(found) / 300, abs=0.03)


@pytest.mark.parametrize(
    ("sizes", "simulated"), [((16, 2, 2048), 0.107), ((64, 6, 2048), 0.169), ((4, 4, 10), 0.0)]
)
def test_it_agrees_with_known_values(sizes, simulated):
    assert chance_max_violation(*sizes) == pytest.approx(simulated, abs=0.01)


def test_more_tokens_leave_less_to_chance():
    assert chance_max_violation(16, 4, 4096) < chance_max_violation(16, 4, 1024) / 1.7


def test_it_names_what_is_wrong():
    with pytest.raises(ValueError, match="top_k must be between 1 and num_experts=4, got 5"):
        chance_max_violation(4, 5, 10)
