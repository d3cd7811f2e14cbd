"""A step over a full cache is the last position of the whole sequence, and bytes are counted."""

import math

import pytest
import torch
from torch import nn

from benchmarks.decode import bytes_moved
from helpers.measuring.decode_steps import (
    WAYS,
    StandardDecoding,
    StepSizes,
    copy_bandwidth,
    decode_milliseconds,
)
from helpers.model.llama import CausalSelfAttention
from solutions.d3_mla import MultiHeadLatentAttention, absorbed_decode

SIZES = StepSizes(d_model=24, num_heads=3, d_head=8, d_latent=6, d_rope=4)


def steps_of(decoding: StandardDecoding) -> dict:
    return {"sdpa": decoding.sdpa_step, "matmul": decoding.matmul_step}


@pytest.mark.parametrize("way", ["sdpa", "matmul"])
@torch.no_grad()
def test_steps_from_an_empty_cache_are_the_standard_attention(way: str) -> None:
    attention, x = CausalSelfAttention(24, 3), torch.randn(1, 5, 24)
    decoding = StandardDecoding(SIZES, 0, 5)
    decoding.qkv, decoding.out = attention.qkv, attention.out
    got = torch.cat([steps_of(decoding)[way](token) for token in x.split(1, dim=1)], dim=1)
    torch.testing.assert_close(got, attention(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", ["sdpa", "matmul"])
@torch.no_grad()
def test_a_step_attends_to_all_that_is_cached(way: str) -> None:
    decoding, x = StandardDecoding(SIZES, 9, 2), torch.randn(1, 1, 24)
    got = steps_of(decoding)[way](x)
    q, _, _ = decoding.qkv(x).unflatten(-1, (3, 3, -1)).unbind(-3)
    keys, values = decoding.keys[0, :, :10], decoding.values[0, :, :10]
    scores = (keys @ rotated(q[0, 0], 9).unsqueeze(-1)).squeeze(-1) / math.sqrt(8)
    want = decoding.out((scores.softmax(-1).unsqueeze(1) @ values).flatten())
    torch.testing.assert_close(got.flatten(), want, atol=1e-5, rtol=1e-5)


def rotated(q: torch.Tensor, position: int) -> torch.Tensor:
    """Each pair as a complex number, turned."""
    angles = position * 10_000.0 ** -(torch.arange(0, 8, 2) / 8)
    pairs = torch.view_as_complex(q.unflatten(-1, (-1, 2)).contiguous())
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2)


@torch.no_grad()
def test_a_full_cache_takes_no_more() -> None:
    decoding, x = StandardDecoding(SIZES, 3, 1), torch.randn(1, 1, 24)
    decoding.sdpa_step(x)
    with pytest.raises(ValueError, match="the cache holds 4 positions, and all are used"):
        decoding.matmul_step(x)


def test_bytes_are_those_of_the_real_buffers() -> None:
    decoding = StandardDecoding(SIZES, 10, 0)
    cache = MultiHeadLatentAttention(24, 3, 8, 6, 4).new_cache(1, 10)
    cache.append(torch.zeros(1, 10, 6), torch.zeros(1, 10, 4))
    keys_and_values = decoding.keys.nbytes + decoding.values.nbytes
    assert SIZES.standard_bytes(10) == keys_and_values == 2 * 3 * 8 * 10 * 4
    assert SIZES.absorbed_bytes(10) == cache.nbytes == (6 + 4) * 10 * 4
    assert SIZES.expanded_bytes(10) == cache.nbytes + 2 * keys_and_values
    assert SIZES.standard_bytes(10, itemsize=2) == keys_and_values // 2


def test_the_benchmark_gives_each_way_its_own_bytes() -> None:
    moved = dict(zip(WAYS, bytes_moved(SIZES, 10, 4), strict=True))
    assert moved["MHA, SDPA"] == moved["MHA, matmul"] == SIZES.standard_bytes(10)
    assert moved["latents expanded"] == SIZES.expanded_bytes(10)
    assert moved["latents absorbed"] == SIZES.absorbed_bytes(10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_is_timed_after_every_context(dtype: torch.dtype) -> None:
    seen = []

    def absorbed(attention: nn.Module, x: torch.Tensor, cache: object) -> torch.Tensor:
        seen.append((len(cache), x.dtype, torch.is_grad_enabled()))
        return absorbed_decode(attention, x, cache)

    taken = decode_milliseconds(
        MultiHeadLatentAttention, absorbed, SIZES, (5, 9), dtype=dtype, turns=2
    )
    assert tuple(taken) == WAYS
    assert all(len(times) == 2 and min(times) > 0 for times in taken.values())
    assert [n for n, _, _ in seen] == [5, 6, 7, 9, 10, 11]
    assert {tuple(rest) for _, *rest in seen} == {(dtype, False)}


def test_the_copy_rate_is_one_that_a_machine_can_have() -> None:
    assert 1e8 < copy_bandwidth(turns=1) < 1e13
