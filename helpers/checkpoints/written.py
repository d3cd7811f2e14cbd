"""A model of ours as a folder in the layout of released checkpoints, which transformers opens."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from helpers.checkpoints.config_file import CONFIG
from helpers.checkpoints.hf_attention import LATENT_AND_KEY, LATENT_QUERIES, QUERIES, REST
from helpers.checkpoints.hf_model import SWIGLU
from helpers.checkpoints.weight_files import WEIGHTS
from helpers.model.deepseek_config import DeepSeekConfig

ARCHITECTURES = {"deepseek_v3": "DeepseekV3ForCausalLM", "deepseek_v2": "DeepseekV2ForCausalLM"}
PARTS = {
    "attention.": "MultiHeadLatentAttention",
    "ffn.router.": "BiasedRouter",
    "ffn.experts.": "ExpertArray",
    "ffn.shared.": "SharedExperts",
}


def write_folder(
    folder: Path,
    config: DeepSeekConfig,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer | None = None,
    end_of_text: str | None = None,
) -> None:
    """Writes config.json, the weights, and the tokenizer where there is one.

    Raises a ValueError, and writes nothing, for a model that has no class of transformers, and for
    parts that keep their weights under other names than the lesson's.
    """
    written = released_config(config, weights["embed.weight"].dtype)
    named = released_weights(config, weights)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        end = tokenizer.token_to_id(end_of_text) if end_of_text else None
        written |= {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
        _whole(tokenizer, end_of_text).save_pretrained(folder)
    on_host = {name: weight.cpu() for name, weight in named.items()}
    save_file(on_host, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors lets only the owner read


def _whole(tokenizer: Tokenizer, end: str | None) -> PreTrainedTokenizerFast:
    """transformers' form; every text begins behind the end of another, as in training."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    if end is not None:
        ends = [(end, copy.token_to_id(end))]
        copy.post_processor = TemplateProcessing(single=f"{end} $A", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=copy, bos_token=end, eos_token=end)


def released_config(config: DeepSeekConfig, dtype: torch.dtype) -> dict[str, Any]:
    """config.json of the same model; raises a ValueError where no class computes it."""
    kind = _kind(config)
    groups = {"n_group": config.num_groups, "topk_group": config.top_groups}
    router: dict[str, dict[str, Any]] = {
        "deepseek_v3": {"norm_topk_prob": config.renormalise, "topk_method": "noaux_tc"},
        "deepseek_v2": {
            "norm_topk_prob": False,
            "topk_method": "group_limited_greedy" if config.groups_by_best else "greedy",
        },
    }
    return {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "dtype": str(dtype).removeprefix("torch."),
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.d_model,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads,
        "qk_nope_head_dim": config.d_head,
        "qk_rope_head_dim": config.d_rope,
        "v_head_dim": config.d_head if config.d_value is None else config.d_value,
        "kv_lora_rank": config.d_latent,
        "q_lora_rank": config.q_latent,
        "n_routed_experts": config.num_experts,
        "num_experts_per_tok": config.top_k,
        "moe_intermediate_size": config.expert_dim,
        "n_shared_experts": config.num_shared,
        "first_k_dense_replace": config.dense_layers,
        "intermediate_size": config.dense_dim or config.expert_dim,
        "moe_layer_freq": 1,
        "scoring_func": config.affinity,
        "routed_scaling_factor": float(config.scale),
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "num_nextn_predict_layers": 0,
        "bos_token_id": None,
        "rope_parameters": _rope(config),
        **groups,
        **router[kind],
    }


def _kind(config: DeepSeekConfig) -> str:
    if config.num_segments != 1:
        raise ValueError(
            f"num_segments must be 1, got {config.num_segments}: no class of transformers cuts "
            "tokens into segments"
        )
    if config.affinity == "sigmoid":
        return "deepseek_v3"
    if config.renormalise or (config.num_groups > 1 and not config.groups_by_best):
        raise ValueError(
            "a softmax affinity is V2's: gates not renormalised, and groups, if any, by their best "
            "expert"
        )
    return "deepseek_v2"


def _rope(config: DeepSeekConfig) -> dict[str, Any]:
    yarn = config.yarn
    if yarn is None:
        return {"rope_type": "default", "rope_theta": float(config.theta)}
    return {
        "rope_type": "yarn",
        "rope_theta": float(config.theta),
        "factor": yarn.factor,
        "original_max_position_embeddings": yarn.trained,
        "beta_fast": yarn.beta_fast,
        "beta_slow": yarn.beta_slow,
        "mscale": yarn.mscale_all_dim,
        "mscale_all_dim": yarn.mscale_all_dim,
    }


def released_weights(config: DeepSeekConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of a released checkpoint, one by one and contiguous."""
    ours = _Named(weights)
    made = {
        "model.embed_tokens.weight": ours["embed.weight"],
        "model.norm.weight": ours["norm.weight"],
        "lm_head.weight": ours["head.weight"],
    }
    for i in range(config.num_layers):
        made |= _layer(ours, config, i)
    return {name: weight.detach().contiguous() for name, weight in made.items()}


def _layer(ours: "_Named", config: DeepSeekConfig, i: int) -> dict[str, Tensor]:
    here, there = f"blocks.{i}.", f"model.layers.{i}."
    attention = REST | (QUERIES if config.q_latent is None else LATENT_QUERIES)
    down = [f"{here}attention.{n}.weight" for n in ("latent.kv_down", "rotary_key.k_down")]
    made = {
        f"{there}input_layernorm.weight": ours[f"{here}attention_norm.weight"],
        f"{there}post_attention_layernorm.weight": ours[f"{here}ffn_norm.weight"],
        f"{there}self_attn.{LATENT_AND_KEY}": torch.cat([ours[name] for name in down]),
    }
    for own, theirs in attention.items():
        made[f"{there}self_attn.{theirs}"] = ours[f"{here}attention.{own}"]
    if i < config.dense_layers:
        return made | _swiglu(ours, f"{here}ffn.", f"{there}mlp.")
    made[f"{there}mlp.gate.weight"] = ours[f"{here}ffn.router.gate.weight"]
    bias = ours[f"{here}ffn.router.bias"]
    if config.affinity == "softmax" and bias.any():
        raise ValueError(
            f"{here}ffn.router.bias must be 0: no class of transformers has a softmax "
            "affinity and a bias"
        )
    if config.affinity == "sigmoid":
        made[f"{there}mlp.gate.e_score_correction_bias"] = bias
    made |= _swiglu(ours, f"{here}ffn.shared.experts.", f"{there}mlp.shared_experts.")
    for e in range(config.num_experts):
        made |= _swiglu(ours, f"{here}ffn.experts.experts.{e}.", f"{there}mlp.experts.{e}.")
    return made


def _swiglu(ours: "_Named", here: str, there: str) -> dict[str, Tensor]:
    return {f"{there}{name}_proj.weight": ours[f"{here}{name}.weight"] for name in SWIGLU}


class _Named(dict[str, Tensor]):
    """Our weights by name; a missing one names the part that keeps it otherwise."""

    def __missing__(self, name: str) -> Tensor:
        inside = name.partition(".")[2].partition(".")[2]
        part = next((part for start, part in PARTS.items() if inside.startswith(start)), "DeepSeek")
        raise ValueError(f"{part} must hold {name}, as the lesson names it, and holds it otherwise")
