"""D3's trade-off: a trained model whose cache is made smaller, and its held-out loss."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from helpers.measuring.conversion import (
    Latents,
    attention_inputs,
    converted_model,
    key_and_value_weights,
)
from helpers.measuring.pooled_heads import PooledHeads
from helpers.training_loops.language_model import held_out_loss, train_lm
from solutions.d3_mla import LatentProjections, latents_from_mha
from tests.studies.d3_seeds import D_MODEL, LENGTH, NUM_HEADS, corpus, trained

SEEDS = (0, 1, 2)
ROWS = 16  # held out, per domain
STEPS, RATE = 20, 3e-4  # of the fine-tune, as in the lesson
Convert = Callable[[Tensor, Tensor, Tensor], Latents]  # from W_K, W_V and the inputs


def independent(W_K: Tensor, W_V: Tensor, inputs: Tensor) -> LatentProjections:
    """The control: latents of 64 numbers that know nothing of the model."""
    return LatentProjections(D_MODEL, D_MODEL // 8, NUM_HEADS, D_MODEL // NUM_HEADS)


def pooled(groups: int, W_K: Tensor, W_V: Tensor, inputs: Tensor) -> PooledHeads:
    return PooledHeads(W_K, W_V, NUM_HEADS, groups)


def joint(width: int, W_K: Tensor, W_V: Tensor, inputs: Tensor) -> LatentProjections:
    return latents_from_mha(W_K, W_V, inputs, width // 2, joint=True)


WAYS: dict[str, Convert] = {
    "independent latents": independent,
    **{f"{groups} heads": partial(pooled, groups) for groups in (8, 4, 2, 1)},
    **{f"latent {width}": partial(joint, width) for width in (16, 32, 64, 128)},
}


def measure(seed: int) -> dict[str, Any]:
    """Per way the held-out loss after the conversion, and after a short fine-tune on top."""
    model = trained(seed)
    fitted, _ = corpus().batch(96, LENGTH, torch.Generator().manual_seed(seed))
    inputs = attention_inputs(model, fitted[:, :-1])
    torch.manual_seed(seed)
    return {name: losses(converted(model, inputs, way), seed) for name, way in WAYS.items()}


@torch.no_grad()
def converted(model: nn.Module, inputs: list[Tensor], way: Convert) -> nn.Module:
    """The model with all its keys and values made by `way`."""
    per_layer = [
        way(*key_and_value_weights(block.attention), x.flatten(0, 1))
        for block, x in zip(model.blocks, inputs, strict=True)
    ]
    return converted_model(model, per_layer)


def losses(model: nn.Module, seed: int) -> dict[str, float]:
    before = held_out_loss(model, corpus(), ROWS)
    train_lm(model, corpus(), STEPS, rows=8, length=LENGTH, lr=RATE, seed=seed)
    return {"converted": before, "tuned": held_out_loss(model, corpus(), ROWS)}
