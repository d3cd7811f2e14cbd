"""What a released configuration asks of our model: the fields of `DeepSeekConfig`, or a refusal.

Names are those of DeepSeek's config.json; transformers writes the same ones, but for the rotary
options, which it collects in `rope_parameters`.
"""

from collections.abc import Mapping
from typing import Any

from helpers.checkpoints.config_file import Fields
from helpers.model.yarn import Yarn

V3_KINDS = ("deepseek_v3", "kimi_k2", "glm4_moe_lite")
KINDS = (*V3_KINDS, "deepseek_v2")

# Models with latent attention, and what each has that this model has not.
OTHERS = {
    "deepseek_v32": "V3.2 chooses the 2,048 earlier tokens to attend to by an indexer (DSA)",
    "deepseek_v4": "V4 has compressed attention instead of MLA, and four residual streams (mHC)",
    "longcat_flash": "LongCat has two attentions per layer and experts that compute nothing",
    "minicpm3": "MiniCPM3 has no experts, and scales embeddings and residuals",
    "mistral4": "Mistral's experts and attention have options of their own",
}


def model_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `DeepSeekConfig` that a configuration asks for.

    Raises a ValueError with one sentence for whatever this model does not compute.
    """
    fields, kind = Fields(config), _kind(config)
    _expect_plain_layers(fields)
    _expect_known_quantisation(fields)
    layers, dense = fields.whole("num_hidden_layers"), _dense_layers(fields, kind)
    return (
        attention_fields(config)
        | _router(fields, kind)
        | {
            "vocab_size": fields.whole("vocab_size"),
            "num_layers": layers,
            "dense_layers": min(dense, layers),
            "dense_dim": fields.whole("intermediate_size"),
            "num_experts": fields.whole("n_routed_experts"),
            "top_k": fields.whole("num_experts_per_tok"),
            "expert_dim": fields.whole("moe_intermediate_size"),
            "num_shared": fields.whole("n_shared_experts"),
            "scale": fields.number("routed_scaling_factor", default=1.0),
            "norm_eps": fields.number("rms_norm_eps", default=1e-6),
        }
    )


def attention_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of latent attention, and `yarn`, None where rotary angles are theta's.

    Raises a ValueError with one sentence for halves instead of pairs, biases, and other ways to
    stretch the angles than YaRN.
    """
    fields = Fields(config)
    fields.must_be("rope_interleave", True, "rotary pairs are neighbours here", default=True)
    fields.must_be("attention_bias", False, "no projection has a bias here", default=False)
    rope = _rope(config)
    query = fields.get("q_lora_rank")
    return {
        "d_model": fields.whole("hidden_size"),
        "num_heads": fields.whole("num_attention_heads"),
        "d_head": fields.whole("qk_nope_head_dim"),
        "d_latent": fields.whole("kv_lora_rank"),
        "d_rope": fields.whole("qk_rope_head_dim", 2),
        "q_latent": None if query is None else fields.whole("q_lora_rank"),
        "d_value": fields.whole("v_head_dim"),
        "theta": rope.number("rope_theta", default=10_000.0),
        "yarn": _yarn(rope, config),
    }


def _kind(config: Mapping[str, Any]) -> str:
    kind = config.get("model_type")
    if kind in KINDS:
        return kind
    if kind in OTHERS:
        raise ValueError(f"{kind!r} is another model: {OTHERS[kind]}")
    raise ValueError(f"model_type must be one of {', '.join(KINDS)}, got {kind!r}")


def _dense_layers(fields: Fields, kind: str) -> int:
    """How many layers at the beginning have no experts."""
    one = 1 if kind == "glm4_moe_lite" else 0
    dense = fields.whole("first_k_dense_replace", 0, default=one)
    kinds = fields.get("mlp_layer_types", [])
    dense = kinds.index("sparse") if "sparse" in kinds else len(kinds) or dense
    if "dense" in kinds[dense:]:
        raise ValueError("mlp_layer_types must have all dense layers before those with experts")
    return dense


def _expect_plain_layers(fields: Fields) -> None:
    fields.must_be("hidden_act", "silu", "experts are SwiGLUs here", default="silu")
    fields.must_be(
        "tie_word_embeddings", False, "the head has weights of its own here", default=False
    )
    fields.must_be("mlp_bias", False, "no projection has a bias here", default=False)
    fields.must_be(
        "moe_layer_freq", 1, "every layer behind the dense ones has experts here", default=1
    )


def _expect_known_quantisation(fields: Fields) -> None:
    asked = fields.get("quantization_config")
    if asked is None:
        return
    quantised = Fields(asked)
    quantised.must_be("quant_method", "fp8", "other quantised weights are not read here")
    quantised.must_be("fmt", "e4m3", "FP8 weights are float8_e4m3fn here", default="e4m3")
    quantised.must_be("weight_block_size", [128, 128], "one scale per 128 x 128 weights here")


def _router(fields: Fields, kind: str) -> dict[str, Any]:
    if kind in V3_KINDS:
        fields.must_be("scoring_func", "sigmoid", f"so has {kind}", default="sigmoid")
        fields.must_be("topk_method", "noaux_tc", f"so has {kind}", default="noaux_tc")
        return {
            "affinity": "sigmoid",
            "renormalise": bool(fields.get("norm_topk_prob", True)),
            "num_groups": fields.whole("n_group", default=1),
            "top_groups": fields.whole("topk_group", default=1),
        }
    fields.must_be("scoring_func", "softmax", f"so has {kind}", default="softmax")
    fields.must_be("norm_topk_prob", False, "V2's gates are not renormalised", default=False)
    method = fields.get("topk_method", "greedy")
    if method == "greedy":
        return {"affinity": "softmax", "renormalise": False}
    fields.must_be("topk_method", "group_limited_greedy", "or 'greedy', for V2")
    return {
        "affinity": "softmax",
        "renormalise": False,
        "num_groups": fields.whole("n_group"),
        "top_groups": fields.whole("topk_group"),
        "groups_by_best": True,
    }


def _rope(config: Mapping[str, Any]) -> Fields:
    """The rotary options, from DeepSeek's `rope_scaling` or transformers' `rope_parameters`."""
    found = {"rope_theta": config.get("rope_theta", 10_000.0)}
    for name in ("rope_scaling", "rope_parameters"):
        found |= config.get(name) or {}
    return Fields(found)


def _yarn(rope: Fields, config: Mapping[str, Any]) -> Yarn | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "yarn":
        raise ValueError(f"rope_type must be 'default' or 'yarn', got {kind!r}")
    whole = rope.number("mscale_all_dim")
    if rope.get("mscale") != whole:
        raise ValueError(
            f"mscale must be mscale_all_dim, {whole!r}, got {rope.get('mscale')!r}: otherwise the "
            "rotary parts are scaled by themselves"
        )
    trained = rope.get("original_max_position_embeddings", config.get("max_position_embeddings"))
    return Yarn(
        factor=rope.number("factor"),
        trained=Fields({"original_max_position_embeddings": trained}).whole(
            "original_max_position_embeddings"
        ),
        beta_fast=rope.number("beta_fast", default=32.0),
        beta_slow=rope.number("beta_slow", default=1.0),
        mscale_all_dim=whole,
    )
