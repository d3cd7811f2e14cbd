"""The sizes of `sizes.json` as our model and as transformers', with the same weights."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d4_deepseek import DeepSeek

EXPERTS = ("eager", "batched_mm", "grouped_mm")  # transformers' ways
MOST_COPIED = 4e9  # bytes
STORIES_THETA = 200.0  # of the rotary angles, in D4's lesson
FIELDS = {
    "vocab_size": "vocabulary",
    "num_layers": "layers",
    "d_model": "d_model",
    "num_heads": "heads",
    "d_head": "d_head",
    "d_latent": "latent",
    "d_rope": "rotary",
    "num_experts": "experts",
    "top_k": "top_k",
    "expert_dim": "expert_dim",
    "num_shared": "shared",
}
SIZES: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("sizes.json").read_text(encoding="utf-8")
)


def fields_of(name: str) -> dict[str, Any]:
    """The fields of `DeepSeekConfig` with these sizes."""
    return {field: SIZES[name][size] for field, size in FIELDS.items()}


def expert_ways(name: str, tokens: int) -> tuple[str, ...]:
    """transformers' ways, without `batched_mm` where its copies of weights take over 4 GB.

    It copies the weights of every chosen expert for every token.
    """
    size = SIZES[name]
    weights = 3 * size["d_model"] * size["expert_dim"] * size["layers"]
    copied = 4 * tokens * size["top_k"] * weights
    return EXPERTS if copied <= MOST_COPIED else tuple(w for w in EXPERTS if w != "batched_mm")


def ours(name: str) -> DeepSeek:
    """A DeepSeek of these sizes, its weights as PyTorch draws them after seed 0."""
    torch.manual_seed(0)
    return DeepSeek(DeepSeekConfig(**fields_of(name)))


def theirs(folder: Path, experts: str, attention: str) -> nn.Module:
    """transformers' model of a folder that `to_hf` wrote, by one way to compute each part."""
    config = DeepseekV3Config.from_pretrained(folder)
    config.num_key_value_heads = config.num_attention_heads
    return DeepseekV3ForCausalLM.from_pretrained(
        folder,
        config=config,
        attn_implementation=attention,
        experts_implementation=experts,
        dtype=torch.float32,
    )
