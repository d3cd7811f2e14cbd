"""How far a trained model moves when it is saved in bfloat16: ours beside transformers'."""

import copy
import tempfile
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForCausalLM

from helpers.data.story_rows import StoryRows
from solutions.d4_deepseek import DeepSeek

STORIES = 200  # held-out ones
AT_ONCE = 50


@torch.no_grad()
def in_bfloat16(model: DeepSeek, rows: StoryRows) -> dict[str, Any]:
    """Agreement of the likeliest next token, and mean distance of logits to those in float32.

    All read the same folder, in bfloat16; the logits in float32 are of its rounded weights. Only
    real tokens of held-out stories count, each after the true ones before it.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy.deepcopy(model).bfloat16().to_hf(folder)
        wanted = _logits(DeepSeek.from_hf(folder).float(), rows)
        found = {"ours": _logits(DeepSeek.from_hf(folder), rows)}
        for attention in ("eager", "sdpa"):
            theirs = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.bfloat16, attn_implementation=attention
            )
            found[attention] = _logits(lambda ids, m=theirs: m(ids).logits, rows)
    best = {name: logits.argmax(dim=-1) for name, logits in found.items()}
    agreement = {
        f"{a}, {b}": float((best[a] == best[b]).double().mean()) for a, b in combinations(best, 2)
    }
    distance = {name: float((logits - wanted).abs().mean()) for name, logits in found.items()}
    return {"agreement": agreement, "distance": distance}


def _logits(model: Any, rows: StoryRows) -> Float[Tensor, "tokens V"]:
    ids, real = rows.held_ids[:STORIES], rows.held_real[:STORIES]
    parts = [
        model(part).float()[kept]
        for part, kept in zip(ids.split(AT_ONCE), real.split(AT_ONCE), strict=True)
    ]
    return torch.cat(parts)
