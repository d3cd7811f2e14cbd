"""D3's reference beside transformers, and its answers to bad input."""

import re

import pytest
import torch
from torch import nn
from transformers import DeepseekV3Config, DynamicCache
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3Attention,
    DeepseekV3RotaryEmbedding,
)

from solutions.d3_mla import (
    LatentCache,
    LatentProjections,
    MultiHeadLatentAttention,
    absorbed_decode,
    energy_kept,
    latents_from_mha,
    yarn_frequencies,
)

ROPE = {"rope_type": "default", "rope_theta": 5000.0}
LENGTH = 11


def hf_attention(**changes) -> DeepseekV3Attention:
    """transformers' attention with every weight drawn anew, norms too."""
    sizes = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "kv_lora_rank": 16,
        "q_lora_rank": 24,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 12,
        "rope_parameters": dict(ROPE),
        "attn_implementation": "eager",
    }
    torch.manual_seed(0)
    made = DeepseekV3Attention(DeepseekV3Config(**(sizes | changes)), layer_idx=0)
    with torch.no_grad():
        for weight in made.parameters():
            drawn = torch.randn_like(weight)
            weight.copy_(drawn / weight.shape[-1] ** 0.5 if weight.ndim > 1 else 1 + 0.3 * drawn)
    return made


def hf_output(attention: nn.Module, x: torch.Tensor, cache=None, start: int = 0) -> torch.Tensor:
    length = x.shape[1]
    positions = torch.arange(start, start + length)[None]
    turned = DeepseekV3RotaryEmbedding(attention.config)(x, positions)
    later = torch.full((length, start + length), -torch.inf).triu(start + 1)
    return attention(x, turned, later[None, None], past_key_values=cache)[0]


def bound(want: torch.Tensor) -> float:
    return 1e-5 * max(1.0, float(want.abs().max()))


CHANGES = [{}, {"q_lora_rank": None}, {"v_head_dim": 16}, {"v_head_dim": 20, "kv_lora_rank": 9}]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_attention_is_transformers_in_prefill_and_in_decode(changes: dict) -> None:
    theirs = hf_attention(**changes)
    ours, x = MultiHeadLatentAttention.from_hf(theirs), torch.randn(2, LENGTH, 64)
    with torch.no_grad():
        want = hf_output(theirs, x)
        assert (ours(x) - want).abs().max() <= bound(want)
        cache, hf_cache = ours.new_cache(2, LENGTH), DynamicCache()
        prefill = hf_output(theirs, x[:, :6], hf_cache)
        assert (ours(x[:, :6], cache) - prefill).abs().max() <= bound(want)
        for i in range(6, LENGTH):
            token = x[:, i : i + 1]
            step = hf_output(theirs, token, hf_cache, start=i)
            assert (absorbed_decode(ours, token, cache) - step).abs().max() <= bound(want)


def test_every_gradient_is_transformers() -> None:
    theirs = hf_attention()
    ours, x = MultiHeadLatentAttention.from_hf(theirs), torch.randn(2, LENGTH, 64)
    way = torch.randn(2, LENGTH, 64)
    (hf_output(theirs, x) * way).sum().backward()
    (ours(x) * way).sum().backward()
    down = torch.cat([ours.latent.kv_down.weight.grad, ours.rotary_key.k_down.weight.grad])
    pairs = [
        (down, theirs.kv_a_proj_with_mqa),
        (ours.latent.kv_up.weight.grad, theirs.kv_b_proj),
        (ours.latent.kv_norm.weight.grad, theirs.kv_a_layernorm),
        (ours.queries.q_up.weight.grad, theirs.q_b_proj),
        (ours.out.weight.grad, theirs.o_proj),
    ]
    for got, module in pairs:
        assert (got - module.weight.grad).abs().max() <= 1e-5 * module.weight.grad.abs().max()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"rope_parameters": {**ROPE, "rope_type": "yarn", "factor": 4.0}},
            "mscale_all_dim must be a number above 0, got None",
        ),
        (
            {"rope_interleave": False},
            "rope_interleave must be True, got False: rotary pairs are neighbours here",
        ),
        (
            {"attention_bias": True},
            "attention_bias must be False, got True: no projection has a bias here",
        ),
    ],
)
def test_what_it_does_not_compute_is_refused_in_a_sentence(changes: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        MultiHeadLatentAttention.from_hf(hf_attention(**changes))


@pytest.mark.parametrize("factor", [4.0, 40.0])
def test_yarns_angles_are_transformers(factor: float) -> None:
    stretched = {
        "rope_type": "yarn",
        "rope_theta": 10_000.0,
        "factor": factor,
        "beta_fast": 32,
        "beta_slow": 1,
        "original_max_position_embeddings": 4096,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    }
    config = DeepseekV3Config(qk_rope_head_dim=64, rope_parameters=stretched)
    angles, scale = ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")
    assert scale == 1.0
    assert torch.allclose(angles.double(), yarn_frequencies(64, factor), atol=1e-7)


def test_a_joint_latent_stays_one_when_it_is_trained_on() -> None:
    torch.manual_seed(0)
    made = latents_from_mha(*torch.randn(2, 12, 8), torch.randn(50, 8), 3, joint=True)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    keys, values = made.up(*made.down(torch.randn(1, 5, 8)))
    (keys.square().sum() + 3 * values.square().sum()).backward()
    optimizer.step()
    k, v = made.down(torch.randn(1, 4, 8))
    assert torch.equal(k, v)


def test_angles_and_scale_are_what_they_say() -> None:
    sizes = 16, 2, 8, 6, 8
    torch.manual_seed(0)
    plain, x = MultiHeadLatentAttention(*sizes).double(), torch.randn(1, 9, 16).double()
    angles = yarn_frequencies(8, 1.0)
    same = MultiHeadLatentAttention(*sizes, angles=angles).double()
    same.load_state_dict(plain.state_dict())
    assert torch.allclose(plain(x), same(x), rtol=0, atol=1e-12)
    sharper = MultiHeadLatentAttention(*sizes, scale=2.0).double()
    sharper.load_state_dict(plain.state_dict())
    wanted = sharper(x)
    plain.queries.q_up.weight.data *= 2
    assert torch.allclose(plain(x), wanted, rtol=0, atol=1e-12)
    cache = sharper.new_cache(1, 9)
    sharper(x[:, :8], cache)
    step = absorbed_decode(sharper, x[:, 8:], cache)
    assert torch.allclose(step, wanted[:, 8:], rtol=0, atol=1e-12)


def test_a_truncated_cache_goes_on_from_there() -> None:
    cache, x = LatentCache(1, 5, 2), torch.arange(8.0).view(1, 4, 2)
    cache.append(x)
    cache.truncate(1)
    assert len(cache) == 1
    assert torch.equal(cache.append(x[:, 3:])[0], x[:, [0, 3]])
    for length in (-1, 3):
        with pytest.raises(ValueError, match=f"length must be between 0 and 2, got {length}"):
            cache.truncate(length)


def test_energy_at_the_best_directions_is_what_a_latent_keeps() -> None:
    torch.manual_seed(0)
    W, x = torch.randn(10, 6, dtype=torch.float64), torch.randn(40, 6, dtype=torch.float64)
    keys, shares = x @ W.T, energy_kept(x @ W.T)
    for d_latent in range(1, 6):
        made = latents_from_mha(W, W, x, d_latent)
        rebuilt = made.up(*made.down(x[None]))[0][0, :, 0].detach()
        lost = float(((keys - rebuilt) ** 2).sum() / (keys**2).sum())
        assert lost == pytest.approx(1 - float(shares[d_latent - 1]), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LatentProjections(8, 0, 2, 4), "d_latent must be at least 1, got 0"),
        (lambda: LatentCache(0, 4, 3), "batch must be at least 1, got 0"),
        (lambda: LatentCache(2, 4), "a cache must have at least one width, got none"),
        (
            lambda: LatentCache(2, 4, 3).append(torch.ones(2, 5, 3)),
            "the cache holds 4 positions, and 5 are needed",
        ),
        (
            lambda: LatentCache(2, 4, 3).append(torch.ones(1, 2, 3)),
            "parts must be [(2, 2, 3)], got [(1, 2, 3)]",
        ),
        (
            lambda: LatentCache(2, 4, 3).append(torch.ones(3)),
            "parts must be [(2, 0, 3)], got [(3,)]",
        ),
        (
            lambda: MultiHeadLatentAttention(8, 2, 4, 5, 3),
            "d_rope must be even, for pairs of neighbours, got 3",
        ),
        (
            lambda: latents_from_mha(*torch.ones(3, 6, 6), 7),
            "d_latent must be between 1 and W=6, got 7",
        ),
        (
            lambda: absorbed_decode(
                MultiHeadLatentAttention(8, 2, 4, 5, 2),
                torch.ones(1, 2, 8),
                LatentCache(1, 4, 5, 2),
            ),
            "x must hold one new position, (B, 1, D), got 2 positions",
        ),
    ],
)
def test_bad_input_meets_one_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()
