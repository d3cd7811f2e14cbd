"""D2's balanced model with and without its bias, and one budget cut three ways."""

from functools import cache
from math import ceil
from typing import Any

import torch
from torch import nn

from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.measuring.random_routing import chance_cv
from helpers.measuring.traffic import chosen_experts
from helpers.model.llama import Decoder
from helpers.training_loops.balancing import Balanced, annealed, train_balanced
from helpers.training_loops.language_model import held_out_loss
from solutions.d1_moe import expert_load, load_cv
from solutions.d2_deepseek_moe import DeepSeekMoE, fine_grained, rebalance

SEEDS = (0, 1, 2, 3, 4)
E, K, D, EXPERT_DIM, STEPS, STEP, FROZEN_FROM = 16, 2, 128, 64, 150, 0.02, 90
FINE = dict(
    zip(("num_experts", "top_k", "expert_dim"), fine_grained(E, K, EXPERT_DIM, 2), strict=True)
)
CUTS = {
    "fine experts": {**FINE, "num_shared": 2},
    "token segments": {"num_experts": 32, "num_segments": 2},
}


def measure(seed: int) -> dict[str, Any]:
    """Held-out CV per layer with and without the bias, how far it moves, and the cuts' losses."""
    (plain, run), (without, _) = (trained(seed, bias) for bias in (True, False))
    cut = {name: trained(seed, True, **changes)[0] for name, changes in CUTS.items()}
    models = {"plain": plain, **cut}
    return {
        "cvs": held_out_cvs(plain),
        "cvs_without_bias": held_out_cvs(without),
        "largest_move": run.biases.diff(dim=0).abs().max().item(),
        "bias_ranges": bias_ranges(run),
        "held_out": {name: held_out_loss(model, corpus()) for name, model in models.items()},
    }


def trained(seed: int, bias: bool, **changes: int) -> tuple[nn.Module, Balanced]:
    """The lesson's model, trained as in the lesson."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"num_experts": E, "top_k": K, "expert_dim": EXPERT_DIM}
    sizes |= {"num_shared": 1} | changes
    model = Decoder(corpus().vocab_size, D, 2, 4, lambda: DeepSeekMoE(D, **sizes))
    balance = {"rebalance": rebalance, "step_at": annealed(STEP, STEPS, FROZEN_FROM)}
    return model, train_balanced(model, corpus(), STEPS, seed=seed, **(balance if bias else {}))


def held_out_cvs(model: nn.Module) -> list[float]:
    """The CV of the loads per layer, on so many tokens that chance alone is below 0.03."""
    inputs = corpus().held_out(rows_per_domain=200, length=64)[0][:, :-1]
    if chance_cv(E, K, inputs.numel()) >= 0.03:
        raise ValueError(f"{inputs.numel()} tokens are too few to judge a CV of 0.1")
    return [load_cv(expert_load(experts, E)) for experts in chosen_experts(model, inputs)]


def bias_ranges(run: Balanced) -> list[float]:
    """How far the centred biases range midway, and in the part where the step falls to 0."""
    paths = run.biases - run.biases.mean(dim=-1, keepdim=True)
    _, middle, last = paths[:FROZEN_FROM].split(ceil(FROZEN_FROM / 3))
    return [(part.amax(0) - part.amin(0)).mean().item() for part in (middle, last)]


@cache
def corpus() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))
