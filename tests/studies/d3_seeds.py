"""What D3 claims of a converted attention, over seeds: run it with -rP for the numbers."""

import pytest
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

D_MODEL, NUM_HEADS, EXPERT_DIM, STEPS, LENGTH = 256, 8, 512, 150, 64
RANK = D_MODEL // 8  # of keys and of values each: an eighth of the cache
WANTED = 0.95


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)


def trained(corpus: Corpus, seed: int) -> Decoder:
    """The lesson's standard model, trained as in the lesson."""
    torch.manual_seed(seed)
    sizes = corpus.vocab_size, D_MODEL, 4, NUM_HEADS
    model = Decoder(*sizes, lambda: SwiGLU(D_MODEL, EXPERT_DIM))
    train_lm(model, corpus, STEPS, length=LENGTH, seed=seed)
    return model


def latents_by_method(
    attention: CausalSelfAttention, inputs: Tensor
) -> dict[str, LatentProjections]:
    weights = key_and_value_weights(attention)
    inputs = inputs.flatten(0, 1)
    return {
        "weights' SVD": latents_from_mha(*weights, torch.eye(D_MODEL), RANK),
        "PCA": latents_from_mha(*weights, inputs, RANK),
        "joint": latents_from_mha(*weights, inputs, RANK, joint=True),
        "independent": LatentProjections(D_MODEL, RANK, NUM_HEADS, D_MODEL // NUM_HEADS),
    }


@pytest.mark.parametrize("seed", range(5))
def test_an_eighth_of_the_cache_keeps_the_output_if_the_activations_choose(corpus, seed) -> None:
    """In every layer, on documents that neither the model nor the latents were fitted to."""
    model = trained(corpus, seed)
    fitted, _ = corpus.batch(96, LENGTH, torch.Generator().manual_seed(seed))
    inputs = attention_inputs(model, fitted[:, :-1])
    held_inputs = attention_inputs(model, corpus.held_out(32, LENGTH)[0][:, :-1])
    cosines: dict[str, list[float]] = {}
    for block, x, held in zip(model.blocks, inputs, held_inputs, strict=True):
        want = standard_output(block.attention, held)
        got = {
            name: converted_output(block.attention, held, latents)
            for name, latents in latents_by_method(block.attention, x).items()
        }
        got["uniform attention"] = uniform_attention(block.attention, held)
        for name, y in got.items():
            cosines.setdefault(name, []).append(agreement(y, want).mean)
    for name, layers in cosines.items():
        print(f"seed {seed}: {name:18}", *(f"{cosine:.4f}" for cosine in layers))
    worst = {name: min(layers) for name, layers in cosines.items()}
    assert worst["weights' SVD"] < WANTED < worst["PCA"] <= worst["joint"]
    assert all(abs(cosine) < 0.3 for cosine in cosines["independent"])
    assert worst["uniform attention"] < worst["weights' SVD"]
