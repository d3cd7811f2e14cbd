"""A whole DeepSeek of transformers, in memory or in a folder of safetensors, under our names.

Read from transformers 5.23, `DeepseekV3ForCausalLM` and `DeepseekV2ForCausalLM`. Experts are fused,
as transformers holds them in memory, or separate, as in checkpoints.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helpers.checkpoints.config_file import read_config
from helpers.checkpoints.fields import model_fields
from helpers.checkpoints.fp8 import FP8, SCALE, dequantised
from helpers.checkpoints.hf_attention import attention_weights
from helpers.checkpoints.named_weights import NamedWeights
from helpers.checkpoints.weight_files import read_weights

SWIGLU = ("gate", "up", "down")
LAYER = "layers."
MTP = "eh_proj.weight"  # only layers for multi-token prediction have it


def read_model(source: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields of `DeepSeekConfig` and the state of a `DeepSeek`, from a model of transformers
    or a folder as released, whose weights stay mapped from its files.

    Raises a ValueError or FileNotFoundError with one sentence for what cannot become the same
    model. The configuration is judged before a weight is looked for.
    """
    if isinstance(source, nn.Module):
        config: Any = getattr(source, "config", None)
        fields = model_fields(config.to_dict() if config else {})
        return fields, model_weights(source.state_dict(), fields)
    if not isinstance(source, str | Path):
        raise ValueError(f"a model of transformers or a folder must come, got {source!r}")
    released = read_config(Path(source))
    fields = model_fields(released)
    theirs = _widened(read_weights(Path(source)), released)
    return fields, model_weights(theirs, fields)


def _widened(theirs: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights without FP8: each dequantised by its scales, if the configuration says so."""
    narrow = [name for name, weight in theirs.items() if weight.dtype == FP8]
    if narrow and not config.get("quantization_config"):
        raise ValueError(f"{narrow[0]} is FP8, and config.json has no quantization_config for it")
    for name in narrow:
        if name + SCALE not in theirs:
            raise ValueError(f"the weights must hold {name + SCALE}, the scales of {name}")
        theirs[name] = dequantised(theirs[name], theirs.pop(name + SCALE))
    return theirs


def model_weights(theirs: Mapping[str, Tensor], fields: Mapping) -> dict[str, Tensor]:
    """The state of a `DeepSeek` with these fields, from `theirs`, that of transformers' model.

    The router's bias is float32 whatever the weights are. Raises a ValueError that names the first
    missing tensor, or one that is left over and belongs to no layer for multi-token prediction.
    """
    weights = NamedWeights({name.removeprefix("model."): value for name, value in theirs.items()})
    made = {
        "embed.weight": weights["embed_tokens.weight"],
        "norm.weight": weights["norm.weight"],
        "head.weight": weights["lm_head.weight"],
    }
    for layer in range(fields["num_layers"]):
        made |= _prefixed(
            f"blocks.{layer}.", _layer(weights.under(f"{LAYER}{layer}."), fields, layer)
        )
    _expect_none_left(weights.unread(), fields["num_layers"])
    return made


def _expect_none_left(names: Iterable[str], layers: int) -> None:
    """Raise a ValueError unless all names belong to layers for multi-token prediction."""
    left = [name for name in names if not name.endswith("rotary_emb.inv_freq")]
    predicting = {_layer_of(name) for name in left if name.endswith(MTP)}
    for name in left:
        layer = _layer_of(name)
        if layer is not None and layer >= layers and layer not in predicting:
            raise ValueError(
                f"num_hidden_layers is {layers}, and the weights hold layer {layer} too ({name})"
            )
        if layer is None or layer < layers:
            raise ValueError(f"the weights hold {name}, which this model has no place for")


def _layer_of(name: str) -> int | None:
    number = name.removeprefix(LAYER).partition(".")[0]
    return int(number) if name.startswith(LAYER) and number.isdigit() else None


def _layer(weights: NamedWeights, fields: Mapping, layer: int) -> dict[str, Tensor]:
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


def _experts(mlp: NamedWeights, fields: Mapping) -> dict[str, Tensor]:
    made = {
        "router.gate.weight": mlp["gate.weight"],
        **_prefixed("shared.experts.", _swiglu(mlp.under("shared_experts."))),
    }
    if fields["affinity"] == "sigmoid":
        made["router.bias"] = mlp["gate.e_score_correction_bias"].float()
    else:  # V2 has no bias, and zeros do not change its choice
        made["router.bias"] = torch.zeros(fields["num_experts"])
    for i in range(fields["num_experts"]):
        made |= _prefixed(f"experts.experts.{i}.", _expert(mlp.under("experts."), i))
    return made


def _expert(experts: NamedWeights, i: int) -> dict[str, Tensor]:
    """One expert, fused with the others (gate rows, then up rows) or separate."""
    if "gate_up_proj" not in experts:
        return _swiglu(experts.under(f"{i}."))
    gate, up = experts["gate_up_proj"][i].chunk(2)
    return {"gate.weight": gate, "up.weight": up, "down.weight": experts["down_proj"][i]}


def _swiglu(weights: NamedWeights) -> dict[str, Tensor]:
    return {f"{name}.weight": weights[f"{name}_proj.weight"] for name in SWIGLU}


def _prefixed(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: weight for name, weight in weights.items()}
