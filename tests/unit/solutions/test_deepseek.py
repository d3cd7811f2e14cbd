"""D4's reference beside transformers: logits, gradients, generation, counts and refusals."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Glm4MoeLiteConfig,
    Glm4MoeLiteForCausalLM,
)

from helpers.checkpoints.hf_model import model_weights
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.published import V2_LITE, V3, active_parameters, total_parameters
from solutions.d4_deepseek import DeepSeek, count_parameters, generate

ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
SIZES = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_shared_experts": 2,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "rope_parameters": ROPE,
    "bos_token_id": None,
    "eos_token_id": None,
    "attn_implementation": "eager",
    "experts_implementation": "eager",
}
V3_SIZES = {"n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.5}
V2_SIZES = {"q_lora_rank": None, "topk_method": "greedy", "routed_scaling_factor": 1.0}


def shaken(model: nn.Module) -> nn.Module:
    """Every weight drawn anew, norms and balancing biases too, so that each of them matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            drawn = torch.randn(value.shape, generator=generator)
            spread = value.shape[-1] ** -0.5 if value.ndim > 1 else 0.3
            value.copy_(spread * drawn + (1.0 if "norm" in name else 0.0))
    return model.eval()


def v3(**changes) -> nn.Module:
    return shaken(DeepseekV3ForCausalLM(DeepseekV3Config(**(SIZES | V3_SIZES | changes))))


def v2_lite(**changes) -> nn.Module:
    return shaken(DeepseekV2ForCausalLM(DeepseekV2Config(**(SIZES | V2_SIZES | changes))))


def glm(**changes) -> nn.Module:
    sizes = {k: v for k, v in SIZES.items() if k != "first_k_dense_replace"} | V3_SIZES
    return shaken(Glm4MoeLiteForCausalLM(Glm4MoeLiteConfig(**(sizes | changes))))


YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 40.0,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 64,
}
LITE_YARN = YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}
GROUPED = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
KINDS = {
    "V3's layers without YaRN": v3,
    "V3": lambda: v3(n_group=4, topk_group=2, rope_parameters=YARN),
    "Kimi-K2": lambda: v3(rope_parameters=YARN | {"beta_fast": 1}),
    "Moonlight": lambda: v3(q_lora_rank=None, rms_norm_eps=1e-5),
    "GLM-4.7-Flash": lambda: glm(routed_scaling_factor=1.8, rms_norm_eps=1e-5),
    "V2-Lite": lambda: v2_lite(rope_parameters=LITE_YARN),
    "V2": lambda: v2_lite(
        **GROUPED, q_lora_rank=24, routed_scaling_factor=16.0, rope_parameters=LITE_YARN
    ),
}
IDS = torch.randint(1, 97, (2, 17), generator=torch.Generator().manual_seed(1))


def bound(logits: torch.Tensor) -> float:
    return 1e-5 * max(1.0, float(logits.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_greedy_text_are_transformers(kind: str) -> None:
    theirs = KINDS[kind]()
    ours = DeepSeek.from_hf(theirs)
    with torch.no_grad():
        want = theirs(IDS).logits
        assert (ours(IDS) - want).abs().max() <= bound(want)
    wanted = theirs.generate(IDS[:, :6], max_new_tokens=10, do_sample=False)
    cached = generate(ours, IDS[:, :6], 10, temperature=0)
    assert torch.equal(cached, wanted)
    assert torch.equal(generate(ours, IDS[:, :6], 10, temperature=0, use_cache=False), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_is_transformers(kind: str) -> None:
    theirs = KINDS[kind]()
    ours, way = DeepSeek.from_hf(theirs), torch.randn(2, 17, 97)
    (theirs(IDS).logits * way).sum().backward()
    (ours(IDS) * way).sum().backward()
    grads = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    wanted = model_weights(grads | biases(theirs), vars_of(ours.config))
    for name, weight in ours.named_parameters():
        scale = max(1.0, float(wanted[name].abs().max()))
        got = torch.zeros_like(weight) if weight.grad is None else weight.grad
        assert (got - wanted[name]).abs().max() <= 1e-4 * scale, name


def biases(model: nn.Module) -> dict:
    return {name: value for name, value in model.named_buffers() if "correction" in name}


def vars_of(config: DeepSeekConfig) -> dict:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_model_it_was_saved_from(kind: str, tmp_path: Path) -> None:
    theirs = KINDS[kind]()
    theirs.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors")
    assert any("experts.0.gate_proj" in name for name in names)  # one by one on the disk
    ours, loaded = DeepSeek.from_hf(theirs).state_dict(), DeepSeek.from_hf(tmp_path).state_dict()
    assert all(torch.equal(ours[name], loaded[name]) for name in ours)


def test_the_published_sizes_are_counted_to_the_last_parameter() -> None:
    assert count_parameters(DeepSeekConfig.v2_lite()) == (
        total_parameters(V2_LITE),
        active_parameters(V2_LITE),
    )
    counted = count_parameters(DeepSeekConfig.v3())
    assert counted == (671_026_404_352, active_parameters(V3))


@pytest.mark.parametrize("kind", ["V3", "V2-Lite"])
def test_a_long_text_has_transformers_logits_where_both_turn_by_the_same_angles(kind: str) -> None:
    """Theirs are float32, ours the lesson's float64: ours take theirs.

    With these ids no token's last chosen expert lies within rounding of the next.
    """
    theirs = KINDS[kind]()
    ours = DeepSeek.from_hf(theirs)
    ids = torch.randint(1, 97, (1, 4096), generator=torch.Generator().manual_seed(3))
    angles = theirs.model.rotary_emb.inv_freq.detach().clone()
    for block in ours.blocks:
        block.attention.queries.angles = block.attention.rotary_key.angles = angles
    with torch.no_grad():
        want = theirs(ids).logits
        assert (ours(ids) - want).abs().max() <= bound(want)
