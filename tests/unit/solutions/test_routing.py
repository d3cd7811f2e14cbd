"""The reference beside the outside world, and its answers to bad input."""

import inspect
import re

import pytest
import torch
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from solutions.d1_moe import TopKRouter
from solutions.d2_deepseek_moe import (
    BiasedRouter,
    DeepSeekMoE,
    fine_grained,
    merge_segments,
    segment_tokens,
)


def dense(gates: torch.Tensor, experts: torch.Tensor, num_experts: int) -> torch.Tensor:
    return torch.zeros(len(gates), num_experts).scatter(1, experts, gates)


@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize(
    ("num_experts", "top_k", "num_groups", "top_groups"),
    [(256, 8, 8, 4), (16, 3, 4, 2), (8, 2, 1, 1), (12, 6, 3, 3)],
)
def test_v3s_router_chooses_and_weighs_as_transformers_does(
    num_experts: int, top_k: int, num_groups: int, top_groups: int, renormalise: bool
) -> None:
    torch.manual_seed(0)
    config = DeepseekV3Config(
        hidden_size=64,
        n_routed_experts=num_experts,
        num_experts_per_tok=top_k,
        n_group=num_groups,
        topk_group=top_groups,
        routed_scaling_factor=2.5,
        norm_topk_prob=renormalise,
    )
    theirs = DeepseekV3TopkRouter(config)
    with torch.no_grad():
        theirs.weight.normal_(std=0.3)
        theirs.e_score_correction_bias.normal_(std=0.3)
    ours, x = BiasedRouter.from_hf(theirs), torch.randn(500, 64)
    _, weights, chosen = theirs(x)
    gates, experts = ours(x)
    assert torch.equal(experts.sort(-1).values, chosen.sort(-1).values)
    gap = dense(gates, experts, num_experts) - dense(weights, chosen, num_experts)
    assert gap.abs().max() <= 1e-6
    assert torch.equal(ours.bias, theirs.e_score_correction_bias)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_bias_of_a_narrow_router_stays_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    config = DeepseekV3Config(hidden_size=8, n_routed_experts=4, num_experts_per_tok=2, n_group=1)
    config.topk_group = 1
    theirs = DeepseekV3TopkRouter(config).to(dtype)
    theirs.e_score_correction_bias = torch.randn(4)
    for made in (BiasedRouter.from_hf(theirs), BiasedRouter.from_hf(theirs).half().to(dtype)):
        assert made.gate.weight.dtype == dtype and made.bias.dtype == torch.float32
        assert torch.equal(made.bias, theirs.e_score_correction_bias)
        assert made(torch.randn(3, 8, dtype=dtype))[0].dtype == dtype
    layer = DeepSeekMoE(8, 4, 2, 4, 1).to(dtype)
    assert layer.router.bias.dtype == torch.float32 and layer.double().router.bias.any() == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: TopKRouter(8, 4, 5), "top_k must be between 1 and num_experts=4, got 5"),
        (lambda: BiasedRouter(8, 4, 0), "top_k must be between 1 and num_experts=4, got 0"),
        (
            lambda: BiasedRouter(8, 4, 2, affinity="relu"),
            'affinity must be "sigmoid" or "softmax", got \'relu\'',
        ),
        (
            lambda: BiasedRouter(8, 6, 2, num_groups=4, top_groups=2),
            "num_groups must divide num_experts=6 into groups of at least 2, got 4",
        ),
        (
            lambda: BiasedRouter(8, 8, 2, num_groups=2, top_groups=3),
            "top_groups must be between 1 and num_groups=2, got 3",
        ),
        (
            lambda: BiasedRouter(8, 8, 5, num_groups=4, top_groups=2),
            "top_k must fit in the 2 groups kept, which hold 4 experts, got 5",
        ),
        (lambda: fine_grained(16, 2, 10, 4), "m must divide expert_dim=10, got 4"),
        (
            lambda: DeepSeekMoE(10, 4, 2, 8, 1, num_segments=3),
            "num_segments must divide d_model=10, got 3",
        ),
        (
            lambda: inspect.unwrap(segment_tokens)(torch.zeros(2, 10), 4),
            "num_segments must divide the width 10, got 4",
        ),
        (
            lambda: inspect.unwrap(merge_segments)(torch.zeros(7, 10), 2),
            "num_segments must divide the 7 rows, got 2",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
