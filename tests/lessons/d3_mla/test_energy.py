"""What the check of D3.I1 says of slips."""

import pytest
import torch
from torch.nn import functional as F

from checks import CheckFailed
from checks.d3_mla.energy import check_energy_kept
from solutions.d3_mla import energy_kept

ZERO = torch.tensor(0)


def squares(y):
    return torch.linalg.svdvals(y) ** 2


def without(y, small):
    """Singular values below `small` count as 0."""
    kept = torch.where(squares(y) < small**2, 0, squares(y))
    return kept.cumsum(0) / kept.sum().clamp(min=1e-12)


def by_qr(y):
    return torch.linalg.qr(y).R.square().sum(1).cumsum(0) / y.square().sum()


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (lambda y: torch.linalg.svdvals(y).cumsum(0) / torch.linalg.svdvals(y).sum(), "square of"),
        (lambda y: energy_kept(y - y.mean(0) * (len(y) > 1)), "mean of the rows"),
        (lambda y: energy_kept(y).diff(prepend=torch.zeros_like(y[0, :1])), "running sum"),
        (lambda y: energy_kept(y) * y.square().sum() / (y.square().sum() + 1e-6), "nothing added"),
        (lambda y: F.pad(energy_kept(y), (0, 1)), "directions that can hold anything"),
        (lambda y: without(y, 1e-2), "Is there a fixed threshold or a rounding in it?"),
        (lambda y: without(y, 1e-2 * squares(y)[0].sqrt()), "Do the weakest directions count too"),
        (lambda y: squares(y).cumsum(0) / len(y), "and not by the number of rows?"),
        (lambda y: squares(y).cumsum(0) / squares(y), "and not by each direction's own?"),
        (lambda y: 100 * energy_kept(y), "Is it in percent?"),
        (lambda y: (squares(y) / squares(y).sum()).cumprod(0), "and not the running product?"),
        (lambda y: energy_kept(y) / (1 + torch.arange(min(y.shape))) ** 3, "sum of squares over o"),
        (
            lambda y: (1 - energy_kept(y)).roll(1).clamp(min=0).index_fill(0, ZERO, 1),
            "turned round",
        ),
        (by_qr, "as QR gives them"),
        (lambda y: energy_kept(F.normalize(y, dim=0)), "their columns not brought to length 1?"),
        (lambda y: energy_kept(F.normalize(y, dim=1)), "Are the rows taken as they come"),
    ],
)
def test_slips_of_energy_kept_are_asked_about(shares, said):
    for seed in range(5):
        with pytest.raises(CheckFailed) as failed:
            check_energy_kept(lambda outputs: shares(outputs), seed=seed)
        assert said in failed.value.message and " Or: " not in failed.value.message
