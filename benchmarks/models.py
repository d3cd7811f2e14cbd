"""The sizes of `sizes.json` as our model and as transformers', with the same weights."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d4_deepseek import DeepSeek

SIZES: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("sizes.json").read_text(encoding="utf-8")
)


def ours(name: str) -> DeepSeek:
    """A DeepSeek of these sizes, its weights as PyTorch draws them after seed 0."""
    torch.manual_seed(0)
    size = SIZES[name]
    return DeepSeek(
        DeepSeekConfig(
            vocab_size=size["vocabulary"],
            num_layers=size["layers"],
            d_model=size["d_model"],
            num_heads=size["heads"],
            d_head=size["d_head"],
            d_latent=size["latent"],
            d_rope=size["rotary"],
            num_experts=size["experts"],
            top_k=size["top_k"],
            expert_dim=size["expert_dim"],
            num_shared=size["shared"],
        )
    )


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
