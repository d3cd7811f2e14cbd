"""The published configurations count to what was published, and to what transformers builds."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    DeepseekV3Config,
    LlamaConfig,
    MixtralConfig,
)

from helpers.model.published import (
    BENCHMARKS,
    LLAMA_2_70B,
    MIXTRAL_8X7B,
    MODELS,
    TRAINING_COSTS,
    V2,
    V2_LITE,
    V3,
    active_parameters,
    embedding_parameters,
    total_parameters,
)


def deepseek_arguments(model):
    """A configuration of ours in the words of transformers' DeepSeek classes."""
    attention, experts = model.attention, model.experts
    return {
        "vocab_size": model.vocab_size,
        "hidden_size": model.d_model,
        "num_hidden_layers": model.layers,
        "intermediate_size": model.dense_dim,
        "first_k_dense_replace": model.dense_layers,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.heads,
        "qk_nope_head_dim": attention.d_head,
        "qk_rope_head_dim": attention.d_rope,
        "v_head_dim": attention.d_value,
        "kv_lora_rank": attention.d_latent,
        "q_lora_rank": attention.q_latent,
        "n_routed_experts": experts.routed,
        "n_shared_experts": experts.shared,
        "num_experts_per_tok": experts.top_k,
        "moe_intermediate_size": experts.expert_dim,
    }


def grouped_query_arguments(model):
    attention = model.attention
    return {
        "vocab_size": model.vocab_size,
        "hidden_size": model.d_model,
        "num_hidden_layers": model.layers,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.kv_heads,
        "intermediate_size": model.experts.expert_dim if model.experts else model.dense_dim,
    }


def mixtral_config():
    experts = MIXTRAL_8X7B.experts
    return MixtralConfig(
        **grouped_query_arguments(MIXTRAL_8X7B),
        num_local_experts=experts.routed,
        num_experts_per_tok=experts.top_k,
    )


CONFIGS = {
    LLAMA_2_70B: lambda: LlamaConfig(**grouped_query_arguments(LLAMA_2_70B)),
    MIXTRAL_8X7B: mixtral_config,
    V2_LITE: lambda: DeepseekV2Config(**deepseek_arguments(V2_LITE)),
    V2: lambda: DeepseekV2Config(**deepseek_arguments(V2)),
    V3: lambda: DeepseekV3Config(**deepseek_arguments(V3)),
}


def built(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_total_equals_the_model_that_transformers_builds(model):
    assert total_parameters(model) == sum(p.numel() for p in built(CONFIGS[model]()).parameters())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_active_equals_a_model_of_nothing_but_the_chosen_experts(model):
    """Take the experts not chosen out of the built model's experts."""
    idle = 0
    if model.experts:
        experts = [p for n, p in built(CONFIGS[model]()).named_parameters() if ".experts." in n]
        share = 1 - model.experts.top_k / model.experts.routed
        idle = share * sum(p.numel() for p in experts)
    assert active_parameters(model) == total_parameters(model) - idle


def test_v3_has_its_published_numbers():
    assert total_parameters(V3) == 671_026_404_352
    assert active_parameters(V3) / 1e9 == pytest.approx(37.55, abs=0.005)
    assert (active_parameters(V3) - embedding_parameters(V3)) / 1e9 == pytest.approx(
        36.63, abs=0.005
    )


def test_balancing_biases_of_v3_are_a_buffer_and_left_out():
    biases = [b for n, b in built(CONFIGS[V3]()).named_buffers() if "correction_bias" in n]
    assert [b.numel() for b in biases] == [256] * 58


@pytest.mark.parametrize(
    ("model", "total", "active"),
    [
        (LLAMA_2_70B, 68.98, 68.98),
        (MIXTRAL_8X7B, 46.70, 12.88),
        (V2_LITE, 15.71, 2.66),
        (V2, 235.74, 21.38),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_rounded_counts(model, total, active):
    assert total_parameters(model) / 1e9 == pytest.approx(total, abs=0.005)
    assert active_parameters(model) / 1e9 == pytest.approx(active, abs=0.005)


def test_dense_model_is_all_active():
    assert active_parameters(LLAMA_2_70B) == total_parameters(LLAMA_2_70B)


def test_v3_experts_of_a_token_are_as_wide_as_its_dense_layer():
    experts = V3.experts
    assert (experts.top_k + experts.shared) * experts.expert_dim == V3.dense_dim


def test_training_costs_follow_from_gpu_hours():
    v3, llama = TRAINING_COSTS
    assert v3.gpu_hours == 2_788_000 and v3.dollars() == 5_576_000
    assert llama.dollars() == 61_680_000 and v3.dollars(3.0) == 8_364_000
    with pytest.raises(ValueError, match="dollars_per_gpu_hour must be above 0, got 0"):
        v3.dollars(0)


def test_benchmarks_show_a_win_and_a_loss_with_their_source():
    ahead = {
        benchmark.name: benchmark.deepseek_v3 > benchmark.gpt_4o_0513 for benchmark in BENCHMARKS
    }
    assert ahead == {"MMLU": True, "SimpleQA": False}
    assert all(entry.source for entry in (*MODELS, *TRAINING_COSTS, *BENCHMARKS))
