"""A whole DeepSeek of transformers, in memory or in a folder of safetensors, under our names.

Read from transformers 5.23, `DeepseekV3ForCausalLM` and `DeepseekV2ForCausalLM`. Experts are fused,
as transformers holds them in memory, or separate, as in checkpoints.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig

from helpers.model.hf_attention import attention_sizes, attention_weights

KINDS = ("deepseek_v3", "deepseek_v2")
SWIGLU = ("gate", "up", "down")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def read_model(source: nn.Module | str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields of `DeepSeekConfig` and the state of a `DeepSeek`, from a model of transformers.

    Raises a ValueError or FileNotFoundError with one sentence for what cannot become the same
    model: another kind, YaRN, FP8 weights, a missing tensor. Layers for multi-token prediction are
    left out.
    """
    if isinstance(source, nn.Module):
        config, theirs = getattr(source, "config", None), source.state_dict()
    else:
        config, theirs = _read_folder(Path(source))
    fields = model_fields(config)
    return fields, model_weights(theirs, fields)


def _read_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"the folder must hold a config.json, and {folder} does not")
    config = AutoConfig.from_pretrained(folder)
    if (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    else:
        names = [WEIGHTS]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"the folder must hold {missing[0]}, and {folder} does not")
    weights: dict[str, Tensor] = {}
    for name in names:
        weights |= load_file(folder / name)
    return config, weights


def model_fields(config: Any) -> dict[str, Any]:
    """The fields of `DeepSeekConfig` that a transformers config asks for."""
    kind = getattr(config, "model_type", type(config).__name__)
    if kind not in KINDS:
        raise ValueError(f"the model must be of a kind among {', '.join(KINDS)}, got {kind!r}")
    if getattr(config, "quantization_config", None):
        raise ValueError(
            "the weights are quantised (FP8 in DeepSeek's own files): convert them first"
        )
    if config.tie_word_embeddings:
        raise ValueError("tie_word_embeddings must be False: the head has weights of its own here")
    if config.hidden_act != "silu":
        raise ValueError(f"hidden_act must be 'silu', got {config.hidden_act!r}")
    sizes = attention_sizes(config)
    return (
        sizes
        | _routing(config, kind)
        | {
            "vocab_size": config.vocab_size,
            "num_layers": config.num_hidden_layers,
            "dense_layers": min(config.first_k_dense_replace, config.num_hidden_layers),
            "dense_dim": config.intermediate_size,
            "num_experts": config.n_routed_experts,
            "top_k": config.num_experts_per_tok,
            "expert_dim": config.moe_intermediate_size,
            "num_shared": config.n_shared_experts,
            "scale": float(config.routed_scaling_factor),
            "norm_eps": config.rms_norm_eps,
        }
    )


def _routing(config: Any, kind: str) -> dict[str, Any]:
    if kind == "deepseek_v3":
        groups = {"num_groups": config.n_group, "top_groups": config.topk_group}
        return {"affinity": "sigmoid", "renormalise": config.norm_topk_prob, **groups}
    if config.topk_method != "greedy":
        raise ValueError(
            f"topk_method must be 'greedy' for deepseek_v2, got {config.topk_method!r}: "
            "V2 scores a group by its best expert, V3 and this router by its best two"
        )
    return {"affinity": "softmax", "renormalise": False}


def model_weights(theirs: Mapping[str, Tensor], fields: Mapping) -> dict[str, Tensor]:
    """The state of a `DeepSeek` with these fields, from `theirs`, that of transformers' model.

    Raises a ValueError that names the first missing tensor.
    """
    weights = _Weights({name.removeprefix("model."): value for name, value in theirs.items()})
    made = {
        "embed.weight": weights["embed_tokens.weight"],
        "norm.weight": weights["norm.weight"],
        "head.weight": weights["lm_head.weight"],
    }
    for layer in range(fields["num_layers"]):
        made |= _prefixed(
            f"blocks.{layer}.", _layer(weights.under(f"layers.{layer}."), fields, layer)
        )
    return made


def _layer(weights: "_Weights", fields: Mapping, layer: int) -> dict[str, Tensor]:
    attention = attention_weights(weights.under("self_attn."), fields["d_latent"])
    made = {
        "attention_norm.weight": weights["input_layernorm.weight"],
        "ffn_norm.weight": weights["post_attention_layernorm.weight"],
        **_prefixed("attention.", attention),
    }
    mlp = weights.under("mlp.")
    if layer < fields["dense_layers"]:
        return made | _prefixed("ffn.", _swiglu(mlp))
    return made | _prefixed("ffn.", _experts(mlp, fields))


def _experts(mlp: "_Weights", fields: Mapping) -> dict[str, Tensor]:
    made = {
        "router.gate.weight": mlp["gate.weight"],
        **_prefixed("shared.experts.", _swiglu(mlp.under("shared_experts."))),
    }
    if fields["affinity"] == "sigmoid":
        made["router.bias"] = mlp["gate.e_score_correction_bias"]
    else:  # V2 has no bias, and zeros do not change its choice
        made["router.bias"] = mlp["gate.weight"].new_zeros(fields["num_experts"])
    for i in range(fields["num_experts"]):
        made |= _prefixed(f"experts.experts.{i}.", _expert(mlp.under("experts."), i))
    return made


def _expert(experts: "_Weights", i: int) -> dict[str, Tensor]:
    """One expert, fused with the others (gate rows, then up rows) or separate."""
    if "gate_up_proj" not in experts:
        return _swiglu(experts.under(f"{i}."))
    gate, up = experts["gate_up_proj"][i].chunk(2)
    return {"gate.weight": gate, "up.weight": up, "down.weight": experts["down_proj"][i]}


def _swiglu(weights: "_Weights") -> dict[str, Tensor]:
    return {f"{name}.weight": weights[f"{name}_proj.weight"] for name in SWIGLU}


def _prefixed(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: weight for name, weight in weights.items()}


class _Weights(dict[str, Tensor]):
    """Weights by name, with a view of those under a prefix; a missing one raises a ValueError."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str = ""):
        super().__init__(weights)
        self.prefix = prefix

    def under(self, prefix: str) -> "_Weights":
        inside = {k.removeprefix(prefix): v for k, v in self.items() if k.startswith(prefix)}
        return _Weights(inside, self.prefix + prefix)

    def __missing__(self, name: str) -> Tensor:
        raise ValueError(f"the weights must hold {self.prefix}{name}, and they do not")
