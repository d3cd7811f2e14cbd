"""D4's reference beside transformers: logits, gradients, generation, counts and refusals."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
)

from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.hf_model import model_weights
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


KINDS = {
    "V3": v3,
    "V3 without query latent": lambda: v3(q_lora_rank=None),
    "expert groups": lambda: v3(n_group=4, topk_group=2),
    "V2-Lite's kind": v2_lite,
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


def test_layers_for_multi_token_prediction_are_left_out(tmp_path: Path) -> None:
    theirs = v3()
    theirs.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        weights | {"model.layers.3.enorm.weight": torch.ones(64)}, tmp_path / "model.safetensors"
    )
    assert len(DeepSeek.from_hf(tmp_path).blocks) == 3


def changed_folder(tmp_path: Path, change) -> Path:
    v3().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    change(weights, config)
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


NORM = "model.layers.1.self_attn.kv_a_layernorm.weight"
HEAD = "lm_head.weight"
REFUSED = {
    "a missing tensor": (
        lambda weights, config: weights.pop(NORM),
        "the attention's weights must hold kv_a_layernorm.weight, and they do not",
    ),
    "a missing head": (
        lambda weights, config: weights.pop(HEAD),
        "the weights must hold lm_head.weight, and they do not",
    ),
    "a misshapen tensor": (
        lambda weights, config: weights.update({HEAD: torch.ones(97, 63)}),
        "the weights do not fit the parts of this model: size mismatch for head.weight",
    ),
    "YaRN": (
        lambda weights, config: config.update(
            {"rope_parameters": {"rope_type": "yarn", "factor": 40.0, "rope_theta": 10_000.0}}
        ),
        "rope_type must be 'default', got 'yarn'",
    ),
    "FP8": (
        lambda weights, config: config.update(
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
        ),
        "the weights are quantised (FP8 in DeepSeek's own files): convert them first",
    ),
    "another kind": (
        lambda weights, config: config.update({"model_type": "mixtral"}),
        "the model must be of a kind among deepseek_v3, deepseek_v2, got 'mixtral'",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", REFUSED)
def test_what_cannot_become_the_same_model_is_refused(title: str, tmp_path: Path) -> None:
    change, sentence = REFUSED[title]
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}"):
        DeepSeek.from_hf(changed_folder(tmp_path, change))


def test_v2s_groups_and_a_folder_without_a_model_are_refused(tmp_path: Path) -> None:
    grouped = v2_lite(topk_method="group_limited_greedy", n_group=4, topk_group=2)
    with pytest.raises(ValueError, match=r"^topk_method must be 'greedy' for deepseek_v2"):
        DeepSeek.from_hf(grouped)
    with pytest.raises(FileNotFoundError, match=r"^the folder must hold a config\.json"):
        DeepSeek.from_hf(tmp_path)


def test_the_published_sizes_are_counted_to_the_last_parameter() -> None:
    assert count_parameters(DeepSeekConfig.v2_lite()) == (
        total_parameters(V2_LITE),
        active_parameters(V2_LITE),
    )
    counted = count_parameters(DeepSeekConfig.v3())
    assert counted == (671_026_404_352, active_parameters(V3))
