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

D_MODEL, STEPS, ROWS, LR, BIAS_STEP = 24, 300, 1024, 0.022, 0.01
MakeFfn = Callable[[], nn.Module]
Kind = tuple[MakeFfn, float, int]  # how its feed-forward part is made, its rate, its steps


def mixture(num_experts: int = 8, top_k: int = 2) -> MakeFfn:
    return lambda: MoELayer(D_MODEL, num_experts, top_k, expert_dim=24)


def dense(width: int) -> MakeFfn:
    return lambda: SwiGLU(D_MODEL, width)


# A width of 51 is two experts of 24 and the router; 195 is all eight and the router.
EQUAL_ACTIVE, EQUAL_TOTAL = dense(51), dense(195)
KINDS: dict[str, Kind] = {
    "dense, equal active": (EQUAL_ACTIVE, 0.03, STEPS),
    "dense, equal time": (EQUAL_ACTIVE, 0.03, STEPS * 3 // 2),
    "mixture": (mixture(), LR, STEPS),
    "dense, equal total": (EQUAL_TOTAL, LR, STEPS),
    "DeepSeekMoE": (lambda: DeepSeekMoE(D_MODEL, 16, 2, 16, 1), LR, STEPS),
}
EXPERTS, TOP_K = (4, 8, 16, 32), (1, 2, 4, 8)
CONTRASTED = ("dense, equal active", "mixture", "dense, equal total")
TEXT_WIDTH = 64
TEXT_MAKERS: dict[str, MakeFfn] = {
    "dense, equal active": lambda: SwiGLU(TEXT_WIDTH, 99),
    "mixture": lambda: MoELayer(TEXT_WIDTH, 8, 2, 48),
    "dense, equal total": lambda: SwiGLU(TEXT_WIDTH, 387),
}


def measure(seed: int) -> dict[str, Any]:
    """Per model its recall, loss, size and time of a step; two sweeps; two contrasts."""
    facts = random_facts(seed=seed)
    models = {name: on_facts(kind, facts, seed) for name, kind in KINDS.items()}
    known = {(8, 2): models["mixture"]}

    def swept(num_experts: int, top_k: int) -> dict[str, float]:
        if (num_experts, top_k) not in known:
            kind = (mixture(num_experts, top_k), LR, STEPS)
            known[num_experts, top_k] = on_facts(kind, facts, seed)
        return known[num_experts, top_k]

    return {
        "models": models,
        "frozen router": on_facts(KINDS["mixture"], facts, seed, frozen=True),
        "experts": [swept(e, 2) for e in EXPERTS],
        "top_k": [swept(8, k) for k in TOP_K],
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
    after_step = balanced(steps) if has_bias(model) else None
    training = FactTraining(model, facts, steps, lr=lr, seed=seed, after_step=after_step)
    training.run(steps)
    return model, training


def has_bias(model: Decoder) -> bool:
    return any(hasattr(layer.router, "bias") for layer in layers_of(model))


def balanced(steps: int) -> AfterStep:
    """Moves every layer's bias by the load of the last batch, less and less from halfway on."""
    step_at = annealed(BIAS_STEP, steps, steps // 2)
    real = torch.ones(ROWS, 3, dtype=torch.bool)

    def after_step(i: int, model: nn.Module) -> None:
        for layer in layers_of(model):
            rebalance(layer, real, step_at(i))

    return after_step


def on_text(make_ffn: MakeFfn, seed: int) -> float:
    """The held-out loss of a small language model on prose, code and stories."""
    torch.manual_seed(seed)
    model = Decoder(corpus().vocab_size, TEXT_WIDTH, 2, 4, make_ffn)
    train_lm(model, corpus(), STEPS, lr=5e-3, seed=seed)
    return held_out_loss(model, corpus())


@cache
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)
