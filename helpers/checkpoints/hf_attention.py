"""transformers' names and sizes of latent attention beside ours.

Read from transformers 5.23, `DeepseekV3Attention` and `DeepseekV2Attention`; the names in
DeepSeek's own checkpoints are the same.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from helpers.checkpoints.fields import attention_fields
from helpers.checkpoints.named_weights import NamedWeights

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
    """The arguments of `MultiHeadLatentAttention` that a transformers config asks for, and `yarn`,
    None where rotary angles are theta's.

    Raises a ValueError with one sentence for what this attention does not compute: halves instead
    of pairs, biases, and other stretched angles than YaRN's.
    """
    return attention_fields(config.to_dict())


def attention_weights(
    theirs: Mapping[str, Tensor] | NamedWeights, d_latent: int
) -> dict[str, Tensor]:
    """The state of a `MultiHeadLatentAttention`, from `theirs`, that of transformers' attention.

    Raises a ValueError that names the first missing tensor.
    """
    weights = theirs if isinstance(theirs, NamedWeights) else NamedWeights(theirs)
    names = REST | (LATENT_QUERIES if "q_a_proj.weight" in weights else QUERIES)
    down = weights[LATENT_AND_KEY]  # (d_latent + d_rope, d_model)
    cut = {
        "latent.kv_down.weight": down[:d_latent],
        "rotary_key.k_down.weight": down[d_latent:],
    }
    return cut | {ours: weights[name] for ours, name in names.items()}
