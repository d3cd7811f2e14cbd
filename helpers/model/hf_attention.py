"""transformers' names and sizes of latent attention beside ours.

Read from transformers 5.23, `DeepseekV3Attention` and `DeepseekV2Attention`; the names in
DeepSeek's own checkpoints are the same.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Ours on the left; the one projection to latent and rotary key is cut in two on the way.
QUERIES = {"queries.q_up.weight": "q_proj.weight"}
LATENT_QUERIES = {
    "queries.q_down.weight": "q_a_proj.weight",
    "queries.q_norm.weight": "q_a_layernorm.weight",
    "queries.q_up.weight": "q_b_proj.weight",
}
REST = {
    "latent.kv_norm.weight": "kv_a_layernorm.weight",
    "latent.kv_up.weight": "kv_b_proj.weight",
    "out.weight": "o_proj.weight",
}
LATENT_AND_KEY = "kv_a_proj_with_mqa.weight"


def attention_sizes(config: Any) -> dict[str, Any]:
    """The arguments of `MultiHeadLatentAttention` that a transformers config asks for.

    Raises a ValueError with one sentence for what this attention does not compute: YaRN and other
    scaled rotary frequencies, halves instead of pairs, and projections with a bias.
    """
    rope = config.rope_parameters
    if rope["rope_type"] != "default":
        raise ValueError(f"rope_type must be 'default', got {rope['rope_type']!r}")
    if not getattr(config, "rope_interleave", True):
        raise ValueError("rope_interleave must be True: rotary pairs are neighbours here")
    if config.attention_bias:
        raise ValueError("attention_bias must be False: no projection has a bias here")
    return {
        "d_model": config.hidden_size,
        "num_heads": config.num_attention_heads,
        "d_head": config.qk_nope_head_dim,
        "d_latent": config.kv_lora_rank,
        "d_rope": config.qk_rope_head_dim,
        "q_latent": config.q_lora_rank,
        "d_value": config.v_head_dim,
        "theta": float(rope["rope_theta"]),
    }


def attention_weights(theirs: Mapping[str, Tensor], d_latent: int) -> dict[str, Tensor]:
    """The state of a `MultiHeadLatentAttention`, from `theirs`, that of transformers' attention.

    Raises a ValueError that names the first missing tensor.
    """
    names = REST | (LATENT_QUERIES if "q_a_proj.weight" in theirs else QUERIES)
    missing = [name for name in (*names.values(), LATENT_AND_KEY) if name not in theirs]
    if missing:
        raise ValueError(f"the attention's weights must hold {missing[0]}, and they do not")
    down = theirs[LATENT_AND_KEY]  # (d_latent + d_rope, d_model)
    cut = {
        "latent.kv_down.weight": down[:d_latent],
        "rotary_key.k_down.weight": down[d_latent:],
    }
    return cut | {ours: theirs[name] for ours, name in names.items()}
