"""A checkpoint's folder: what is read from it, what is refused, and in which words."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers.checkpoints.fp8 import FP8, SCALE
from helpers.checkpoints.weight_files import INDEX, WEIGHTS
from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d4_deepseek import DeepSeek

CONFIG = DeepSeekConfig(
    vocab_size=97,
    num_layers=2,
    d_model=64,
    num_heads=4,
    d_head=16,
    d_latent=16,
    d_rope=8,
    num_experts=4,
    top_k=2,
    expert_dim=24,
    num_shared=1,
    dense_layers=1,
    dense_dim=80,
)
IDS = torch.arange(12)[None]


def saved(folder: Path, dtype: torch.dtype = torch.float32) -> DeepSeek:
    """A model of random weights and biases, saved in `folder`."""
    torch.manual_seed(0)
    model = DeepSeek(CONFIG).to(dtype)
    model.blocks[1].ffn.router.bias.normal_(std=0.3)
    model.to_hf(folder)
    return model


def edited(folder: Path, change: Callable[[dict[str, Tensor], dict], object]) -> Path:
    """The saved folder with other weights or another configuration."""
    saved(folder)
    weights, path = load_file(folder / WEIGHTS), folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(weights, config)
    save_file(weights, folder / WEIGHTS)
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_a_bfloat16_folder_keeps_the_routers_bias_in_float32(tmp_path: Path) -> None:
    model = saved(tmp_path, torch.bfloat16)
    back = DeepSeek.from_hf(tmp_path)
    router = back.blocks[1].ffn.router
    assert router.gate.weight.dtype == torch.bfloat16 and router.bias.dtype == torch.float32
    assert torch.equal(router.bias, model.blocks[1].ffn.router.bias)
    assert torch.equal(back(IDS), model(IDS))


def test_weights_in_shards_are_the_same_model(tmp_path: Path) -> None:
    model = saved(tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: weights[name] for name in own}, tmp_path / file)
    index = {name: file for file, own in shards.items() for name in own}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    assert torch.equal(DeepSeek.from_hf(tmp_path)(IDS), model(IDS))


def test_fp8_weights_are_dequantised_by_their_blocks(tmp_path: Path) -> None:
    def quantise(weights: dict[str, Tensor], config: dict) -> None:
        for name in [name for name in weights if name.endswith("_proj.weight")]:
            rows, columns = weights[name].shape
            scale = weights[name].abs().max() / 448  # the largest number of e4m3
            weights[name] = (weights[name] / scale).to(FP8)
            weights[name + SCALE] = torch.full((-(-rows // 128), -(-columns // 128)), scale)
        config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}

    plain = saved(tmp_path)(IDS)
    read = DeepSeek.from_hf(edited(tmp_path, quantise))
    expert = read.blocks[1].ffn.experts.experts[0].gate.weight
    assert expert.dtype == torch.bfloat16 and read.embed.weight.dtype == torch.float32
    got = read.to(torch.float32)(IDS)
    assert (got - plain).norm() < 0.05 * plain.norm()


def test_layers_for_multi_token_prediction_are_left_out(tmp_path: Path) -> None:
    def predicting(weights: dict[str, Tensor], config: dict) -> None:
        for name in [name for name in weights if name.startswith("model.layers.1.")]:
            weights[name.replace("layers.1.", "layers.2.")] = weights[name].clone()
        weights["model.layers.2.eh_proj.weight"] = torch.ones(64, 128)

    assert len(DeepSeek.from_hf(edited(tmp_path, predicting)).blocks) == 2


EXPERT = "model.layers.1.mlp.experts.2.up_proj.weight"
REFUSED = {
    "a missing tensor": (
        lambda weights, config: weights.pop(EXPERT),
        "the weights must hold layers.1.mlp.experts.2.up_proj.weight, and they do not",
    ),
    "a missing norm of the attention": (
        lambda weights, config: weights.pop("model.layers.1.self_attn.kv_a_layernorm.weight"),
        "the weights must hold layers.1.self_attn.kv_a_layernorm.weight, and they do not",
    ),
    "a tensor of another shape": (
        lambda weights, config: weights.update({"lm_head.weight": torch.ones(97, 63)}),
        "the weights do not fit the parts of this model: size mismatch for head.weight",
    ),
    "a tensor that is left over": (
        lambda weights, config: weights.update({EXPERT.replace("weight", "bias"): torch.ones(24)}),
        "the weights hold layers.1.mlp.experts.2.up_proj.bias, which this model has no place for",
    ),
    "fewer layers than the weights": (
        lambda weights, config: config.update({"num_hidden_layers": 1}),
        "num_hidden_layers is 1, and the weights hold layer 1 too",
    ),
    "FP8 that the configuration does not know of": (
        lambda weights, config: weights.update({EXPERT: weights[EXPERT].to(FP8)}),
        f"{EXPERT} is FP8, and config.json has no quantization_config for it",
    ),
    "the configuration before the weights": (
        lambda weights, config: (weights.pop(EXPERT), config.update({"hidden_act": "gelu"})),
        "hidden_act must be 'silu', got 'gelu'",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(title: str, tmp_path: Path) -> None:
    change, sentence = REFUSED[title]
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}") as refused:
        DeepSeek.from_hf(edited(tmp_path, change))
    assert "\n" not in str(refused.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pointer(path: Path) -> None:
    path.write_text("version git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")


SPOILT = {
    "cut": (WEIGHTS, cut, "model.safetensors is no whole safetensors file"),
    "empty": (WEIGHTS, emptied, "model.safetensors is no whole safetensors file"),
    "a pointer": (WEIGHTS, pointer, "model.safetensors is a pointer of git-lfs and no weights"),
    "no JSON": ("config.json", emptied, "config.json is no valid JSON"),
    "a list": (
        "config.json",
        lambda path: path.write_text("[1]", encoding="utf-8"),
        "config.json must hold a JSON object, got list",
    ),
    "an index without a map": (
        INDEX,
        lambda path: path.write_text("{}", encoding="utf-8"),
        "model.safetensors.index.json must hold a weight_map",
    ),
}


@pytest.mark.parametrize("title", SPOILT)
def test_a_spoilt_file_is_named(title: str, tmp_path: Path) -> None:
    name, spoil, sentence = SPOILT[title]
    saved(tmp_path)
    spoil(tmp_path / name)
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}"):
        DeepSeek.from_hf(tmp_path)


def test_an_index_that_promises_more_than_its_files_hold_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    index = {"weight_map": {"lm_head.weight": WEIGHTS, "more": WEIGHTS}}
    (tmp_path / INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^model\.safetensors must hold more"):
        DeepSeek.from_hf(tmp_path)


def test_no_folder_and_no_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a model of transformers or a folder must come, got"):
        DeepSeek.from_hf(None)
    with pytest.raises(FileNotFoundError, match=r"^a checkpoint is a folder, and .*where is"):
        DeepSeek.from_hf(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"^the folder must hold a config\.json"):
        DeepSeek.from_hf(tmp_path)
    saved(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"^the folder must hold model\.safetensors"):
        DeepSeek.from_hf(tmp_path)


def test_code_in_the_folder_is_never_asked_for(tmp_path: Path) -> None:
    def coded(weights: dict[str, Tensor], config: dict) -> None:
        config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}

    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    assert len(DeepSeek.from_hf(edited(tmp_path, coded)).blocks) == 2
