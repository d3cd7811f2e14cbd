"""When a mixture wins: what models of one layer recall of 4,096 facts, and where it gains nothing.

Every model has the rate that suited it best on seed 0, of .015, .022 and .03.
"""

from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any

import torch
from torch import nn

from helpers.data.corpus import Corpus
from helpers.data.facts import VOCABULARY, Facts, random_facts, ruled_facts
from helpers.measuring.traffic import layers_of
from helpers.model.llama import Decoder, SwiGLU
from helpers.training_loops.balancing import annealed
from helpers.training_loops.facts import AfterStep, FactTraining, recalled
from helpers.training_loops.language_model import held_out_loss, train_lm
from solutions.d1_moe import MoELayer
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance

SEEDS = (0, 1, 2)

D_MODEL, STEPS, ROWS, BIAS_STEP = 24, 300, 1024, 0.01
MakeFfn = Callable[[], nn.Module]
Kind = tuple[MakeFfn, float, int]  # how its feed-forward part is made, its rate, its steps


def mixture(num_experts: int = 16, top_k: int = 2) -> MakeFfn:
    return lambda: DeepSeekMoE(D_MODEL, num_experts, top_k, expert_dim=16, num_shared=1)


def dense(width: int) -> MakeFfn:
    return lambda: SwiGLU(D_MODEL, width)


EQUAL_ACTIVE, EQUAL_TOTAL = dense(54), dense(272)
KINDS: dict[str, Kind] = {
    "dense, equal active": (EQUAL_ACTIVE, 0.03, STEPS),
    "dense, equal time": (EQUAL_ACTIVE, 0.03, STEPS * 3 // 2),
    "MoELayer": (lambda: MoELayer(D_MODEL, 8, 2, 24), 0.022, STEPS),
    "DeepSeekMoE": (mixture(), 0.022, STEPS),
    "dense, equal total": (EQUAL_TOTAL, 0.022, STEPS),
}
EXPERTS, TOP_K = (4, 8, 16, 32), (1, 2, 4, 8)
CONTRASTED = ("dense, equal active", "DeepSeekMoE", "dense, equal total")
TEXT_WIDTH, TEXT_BATCH = 64, (16, 64)
TEXT_MAKERS: dict[str, MakeFfn] = {
    "dense, equal active": lambda: SwiGLU(TEXT_WIDTH, 101),
    "DeepSeekMoE": lambda: DeepSeekMoE(TEXT_WIDTH, 16, 2, 32, 1),
    "dense, equal total": lambda: SwiGLU(TEXT_WIDTH, 544),
}


def measure(seed: int) -> dict[str, Any]:
    """Per model its recall, loss, size and time of a step; two sweeps; two contrasts."""
    facts = random_facts(seed=seed)
    lr = KINDS["DeepSeekMoE"][1]
    return {
        "models": {name: on_facts(kind, facts, seed) for name, kind in KINDS.items()},
        "frozen router": on_facts((mixture(), lr, STEPS), facts, seed, frozen=True),
        "experts": [on_facts((mixture(e), lr, STEPS), facts, seed) for e in EXPERTS],
        "top_k": [on_facts((mixture(16, k), lr, STEPS), facts, seed) for k in TOP_K],
        "rules": {name: on_rules(KINDS[name], seed) for name in CONTRASTED},
        "text": {name: on_text(make, seed) for name, make in TEXT_MAKERS.items()},
    }


def on_facts(kind: Kind, facts: Facts, seed: int, *, frozen: bool = False) -> dict[str, float]:
    """What a model knows of the facts it has learned, its size, and the time of a step."""
    model, training = trained(kind, facts, seed, frozen=frozen)
    share, loss = recalled(model, facts)
    return {
        "recalled": share,
        "loss": loss,
        "parameters": sum(p.numel() for p in model.parameters()),
        "ms": 1000 * median(training.seconds),
    }


def on_rules(kind: Kind, seed: int) -> float:
    """The share of held-out questions that a model answers by the rule it has learned."""
    learned, held_out = ruled_facts(seed=seed)
    return recalled(trained(kind, learned, seed)[0], held_out)[0]


def trained(
    kind: Kind, facts: Facts, seed: int, *, frozen: bool = False
) -> tuple[Decoder, FactTraining]:
    """A model of one layer after its training; `frozen` keeps its router as it was drawn."""
    make_ffn, lr, steps = kind
    torch.manual_seed(seed)
    model = Decoder(VOCABULARY, D_MODEL, 1, 2, make_ffn)
    if frozen:
        model.blocks[0].ffn.router.requires_grad_(False)
    after_step = balanced((ROWS, 3), steps, BIAS_STEP) if has_bias(model) else None
    training = FactTraining(model, facts, steps, lr=lr, seed=seed, after_step=after_step)
    training.run(steps)
    return model, training


def has_bias(model: Decoder) -> bool:
    return any(hasattr(layer.router, "bias") for layer in layers_of(model))


def balanced(batch: tuple[int, int], steps: int, step: float) -> AfterStep:
    """Moves every layer's bias by the load of the last batch, less and less from halfway on."""
    step_at = annealed(step, steps, steps // 2)
    real = torch.ones(batch, dtype=torch.bool)

    def after_step(i: int, model: nn.Module) -> None:
        for layer in layers_of(model):
            rebalance(layer, real, step_at(i))

    return after_step


def on_text(make_ffn: MakeFfn, seed: int) -> float:
    """The held-out loss of a small language model on prose, code and stories."""
    torch.manual_seed(seed)
    model = Decoder(corpus().vocab_size, TEXT_WIDTH, 2, 4, make_ffn)
    rows, length = TEXT_BATCH
    after_step = balanced(TEXT_BATCH, STEPS, 0.02) if layers_of(model) else None
    train_lm(model, corpus(), STEPS, rows, length, lr=5e-3, seed=seed, after_step=after_step)
    return held_out_loss(model, corpus())


@cache
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)
