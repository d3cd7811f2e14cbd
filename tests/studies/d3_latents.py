"""D3's trade-off: one small model with each attention, by what it caches and what it loses."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.model.grouped_heads import GroupedHeads, NoAttention, decoder_with
from helpers.model.llama import Decoder
from helpers.training_loops.language_model import held_out_loss, train_lm
from solutions.d3_mla import MultiHeadLatentAttention

SEEDS = (0, 1, 2)
D_MODEL, NUM_HEADS, D_HEAD, D_ROPE = 64, 4, 16, 8
SIZES = {"d_model": D_MODEL, "num_layers": 2, "num_heads": NUM_HEADS, "expert_dim": 256}
STEPS, LENGTH, RATE = 400, 64, 8e-3
LATENTS = (8, 24, 56)  # with the rotary key 16, 32 and 64 numbers per token and layer
WAYS: dict[str, Callable[[], nn.Module]] = {
    "no attention": NoAttention,
    "MHA": lambda: GroupedHeads(D_MODEL, NUM_HEADS, NUM_HEADS),
    "GQA, 2 key-value heads": lambda: GroupedHeads(D_MODEL, NUM_HEADS, 2),
    "MQA": lambda: GroupedHeads(D_MODEL, NUM_HEADS, 1),
    **{
        f"MLA, latent {latent}": partial(
            MultiHeadLatentAttention, D_MODEL, NUM_HEADS, D_HEAD, latent, D_ROPE
        )
        for latent in LATENTS
    },
}


def measure(seed: int) -> dict[str, Any]:
    """Per way: held-out loss, parameters, and numbers cached per token and layer."""
    return {name: of_model(trained(seed, make)) for name, make in WAYS.items()}


def trained(seed: int, make_attention: Callable[[], nn.Module]) -> Decoder:
    """The small model with this attention in every layer, trained on stories as in the lesson."""
    torch.manual_seed(seed)
    model = decoder_with(make_attention, corpus().vocab_size, **SIZES)
    train_lm(model, corpus(), STEPS, length=LENGTH, lr=RATE, seed=seed)
    return model


def of_model(model: Decoder) -> dict[str, Any]:
    attention = model.blocks[0].attention
    return {
        "held_out": held_out_loss(model, corpus()),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "numbers": cached(attention),
    }


def cached(attention: nn.Module) -> int:
    """The numbers that a cache of this attention keeps per token."""
    if isinstance(attention, GroupedHeads):
        return attention.cached_numbers
    if isinstance(attention, MultiHeadLatentAttention):
        return sum(attention.new_cache(1, 1).widths)
    return 0


@cache
def corpus() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))
