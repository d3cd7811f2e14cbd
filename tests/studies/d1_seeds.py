"""D1's mixture and its dense rival of equal active width, trained as in the lesson."""

from functools import cache
from typing import Any

import torch

from helpers.data.corpus import Corpus
from helpers.measuring.random_routing import chance_cv
from helpers.measuring.traffic import chosen_experts
from helpers.model.llama import Decoder, SwiGLU
from helpers.training_loops.language_model import held_out_loss, train_lm
from solutions.d1_moe import MoELayer, expert_load, load_cv

SEEDS = (0, 1, 2)
D_MODEL, NUM_EXPERTS, TOP_K, EXPERT_DIM = 256, 4, 2, 512
MAKERS = {
    "MoE": lambda: MoELayer(D_MODEL, NUM_EXPERTS, TOP_K, EXPERT_DIM),
    "dense": lambda: SwiGLU(D_MODEL, TOP_K * EXPERT_DIM),
}


def measure(seed: int) -> dict[str, Any]:
    """Per model its first and last training losses and its held-out loss; the loads' CV."""
    found: dict[str, Any] = {}
    for name, make_ffn in MAKERS.items():
        torch.manual_seed(seed)
        model = Decoder(corpus().vocab_size, D_MODEL, 2, 4, make_ffn)
        losses = train_lm(model, corpus(), steps=150, rows=8, seed=seed)
        found[name] = {
            "first": losses[0],
            "last": sum(losses[-10:]) / 10,
            "held_out": held_out_loss(model, corpus()),
        }
        if name == "MoE":
            found |= loads(model)
    return found


def loads(model: Decoder) -> dict[str, Any]:
    """The CV of the experts' loads per layer on held-out texts, and that of random routing."""
    inputs = corpus().held_out(rows_per_domain=32, length=64)[0][:, :-1]
    layers = chosen_experts(model, inputs)
    return {
        "cvs": [load_cv(expert_load(experts, NUM_EXPERTS)) for experts in layers],
        "chance_cv": chance_cv(NUM_EXPERTS, TOP_K, inputs.numel()),
    }


@cache
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)
