"""RoPE by complex turns, beside the same written out in sines and cosines."""

import pytest
import torch
from torch import Tensor

from helpers.model.llama import rotate


def by_hand(x: Tensor, start: int, angles: Tensor) -> Tensor:
    positions = torch.arange(start, start + x.shape[-3], dtype=torch.float64)
    angle = torch.outer(positions, angles.double())[:, None]
    even, odd = x[..., 0::2].double(), x[..., 1::2].double()
    turned = even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)


@pytest.mark.parametrize("start", [0, 1, 63, 64, 4095, 100_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_turn_by_their_positions_angle(start: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 8, dtype=dtype)
    own = torch.tensor([0.9, 0.1, 0.01, 0.0])
    thetas = 10_000.0 ** -(torch.arange(0, 8, 2) / 8).double()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    assert torch.allclose(rotate(x, start), by_hand(x, start, thetas), atol=tolerance)
    assert torch.allclose(rotate(x, start, angles=own), by_hand(x, start, own), atol=tolerance)


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_it_matters_not_how_the_input_lies_in_memory(offset: int) -> None:
    torch.manual_seed(0)
    flat = torch.randn(2 * 3 * 2 * 10 + offset)[offset:]
    for x in (flat.view(2, 3, 2, 10)[..., 1:9], flat.view(2, 3, 10, 2).mT, flat.view(2, 3, 2, 10)):
        assert torch.equal(rotate(x), rotate(x.clone(memory_format=torch.contiguous_format)))


@pytest.mark.parametrize("offset", [0, 1])
def test_a_gradient_may_begin_at_any_place_in_memory(offset: int) -> None:
    torch.manual_seed(0)
    x, before = torch.randn(1, 1, 1, 8, requires_grad=True), torch.zeros(1, 1, 1, offset)
    weights = torch.randn(1, 1, 1, 8 + offset)
    torch.cat([before, rotate(x, 5)], dim=-1).backward(weights)
    wanted = rotate(weights[..., offset:].clone(), 5, angles=-torch.tensor([1, 0.1, 0.01, 0.001]))
    assert torch.allclose(x.grad, wanted, atol=1e-6)  # what turns back
