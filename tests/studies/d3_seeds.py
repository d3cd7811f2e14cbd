"""D3's standard attention, trained as in the lesson and read through an eighth of its cache."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from helpers.data.corpus import Corpus
from helpers.measuring.conversion import (
    agreement,
    attention_inputs,
    converted_output,
    key_and_value_weights,
    standard_output,
    uniform_attention,
)
from helpers.model.llama import CausalSelfAttention, Decoder, SwiGLU
from helpers.training_loops.language_model import train_lm
from solutions.d3_mla import LatentProjections, latents_from_mha

SEEDS = (0, 1, 2, 3, 4)
D_MODEL, NUM_HEADS, EXPERT_DIM, STEPS, LENGTH = 256, 8, 512, 150, 64
RANK = D_MODEL // 8  # of keys and of values each: an eighth of the cache


def measure(seed: int) -> dict[str, list[float]]:
    """Per method and layer, the mean cosine between converted and standard attention's outputs.

    The documents are others than the model and the latents were fitted to.
    """
    model = trained(seed)
    fitted, _ = corpus().batch(96, LENGTH, torch.Generator().manual_seed(seed))
    inputs = attention_inputs(model, fitted[:, :-1])
    held_inputs = attention_inputs(model, corpus().held_out(32, LENGTH)[0][:, :-1])
    cosines: dict[str, list[float]] = {}
    for block, x, held in zip(model.blocks, inputs, held_inputs, strict=True):
        for name, cosine in by_method(block.attention, x, held).items():
            cosines.setdefault(name, []).append(cosine)
    return cosines


def trained(seed: int) -> Decoder:
    """The lesson's standard model, trained as in the lesson."""
    torch.manual_seed(seed)
    sizes = corpus().vocab_size, D_MODEL, 4, NUM_HEADS
    model = Decoder(*sizes, lambda: SwiGLU(D_MODEL, EXPERT_DIM))
    train_lm(model, corpus(), STEPS, length=LENGTH, seed=seed)
    return model


def by_method(attention: CausalSelfAttention, inputs: Tensor, held: Tensor) -> dict[str, Any]:
    """The cosine of each way to choose latents, and of attention that looks everywhere alike."""
    outputs = {
        name: converted_output(attention, held, latents)
        for name, latents in latents_by_method(attention, inputs.flatten(0, 1)).items()
    }
    outputs["uniform attention"] = uniform_attention(attention, held)
    want = standard_output(attention, held)
    return {name: float(agreement(y, want).mean) for name, y in outputs.items()}


def latents_by_method(
    attention: CausalSelfAttention, inputs: Tensor
) -> dict[str, LatentProjections]:
    weights = key_and_value_weights(attention)
    return {
        "weights' SVD": latents_from_mha(*weights, torch.eye(D_MODEL), RANK),
        "PCA": latents_from_mha(*weights, inputs, RANK),
        "joint": latents_from_mha(*weights, inputs, RANK, joint=True),
        "independent": LatentProjections(D_MODEL, RANK, NUM_HEADS, D_MODEL // NUM_HEADS),
    }


@cache
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)
