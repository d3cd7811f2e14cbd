"""Where the leak hurts: the balancing bias in the gates, on facts and on stories.

Facts are held by D1's model of one layer, with a small and a large step of the bias. Stories are
D2's small model, whose right router `d2_frontier` has.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.data.corpus import Corpus
from helpers.data.facts import VOCABULARY, Facts, random_facts
from helpers.data.texts import story_documents
from helpers.measuring.traffic import layers_of
from helpers.model.llama import Decoder
from helpers.training_loops.balanced_training import BalancedTraining
from helpers.training_loops.balancing import annealed
from helpers.training_loops.facts import FactTraining, recalled
from helpers.training_loops.language_model import held_out_loss
from solutions.d2_deepseek_moe import BiasedRouter, DeepSeekMoE, rebalance

SEEDS = (0, 1, 2)
STEPS, ROWS, SHIFT = 300, 1024, 1.0
SETTINGS = {  # of the facts: step of the bias, learning rate, whether gates are renormalised
    "step 0.01": (0.01, 0.01, True),
    "step 0.1": (0.1, 0.01, True),
    "step 0.1, rate 0.022": (0.1, 0.022, True),
    "not renormalised": (0.01, 0.01, False),
}
STORY_STEPS, STORY_RATE, STORY_BIAS_STEPS = 120, 5e-3, (0.02, 0.1)


class LeakyRouter(BiasedRouter):
    """The router with the bug: its gates are made from affinity + bias."""

    def forward(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T K"], Int[Tensor, "T K"]]:
        experts = super().forward(x)[1]
        gates = (self.gate(x).sigmoid() + self.bias).gather(1, experts)
        if self.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return gates, experts


ROUTERS: dict[str, type[BiasedRouter]] = {"right": BiasedRouter, "leak": LeakyRouter}


def measure(seed: int) -> dict[str, Any]:
    """Per router: recall, recall after a common shift, moved gates, and the loss on stories."""
    return {name: of_router(router, seed) for name, router in ROUTERS.items()} | {
        "leak on stories": {str(step): on_stories(seed, step) for step in STORY_BIAS_STEPS}
    }


def of_router(router: type[BiasedRouter], seed: int) -> dict[str, Any]:
    """By setting what is recalled, also after a common shift of the biases; the gates moved."""
    facts, found = random_facts(seed=seed), {}
    for name, setting in SETTINGS.items():
        model = on_facts(router, facts, seed, *setting)
        found[name] = {"recalled": recalled(model, facts)[0], "shifted": after_shift(model, facts)}
        if name == "step 0.01":
            found["gates moved"] = moved_gates(model, facts)
    return found


def with_router(layer: DeepSeekMoE, router: type[BiasedRouter], d_model: int) -> DeepSeekMoE:
    """The layer with a router of that class, which starts from the same weights."""
    old = layer.router
    layer.router = router(d_model, 16, 2, renormalise=old.renormalise)
    layer.router.load_state_dict(old.state_dict())
    return layer


def on_facts(
    router: type[BiasedRouter],
    facts: Facts,
    seed: int,
    step: float,
    rate: float,
    renormalise: bool,
) -> Decoder:
    """A model of one layer that has learned the facts, its bias moved by `step` and annealed."""
    torch.manual_seed(seed)

    def layer() -> DeepSeekMoE:
        return with_router(DeepSeekMoE(24, 16, 2, 16, 1, renormalise=renormalise), router, 24)

    model = Decoder(VOCABULARY, 24, 1, 2, layer)
    step_at, real = annealed(step, STEPS, STEPS // 2), torch.ones(ROWS, 3, dtype=torch.bool)

    def after_step(i: int, model: nn.Module) -> None:
        rebalance(layers_of(model)[0], real, step_at(i))

    training = FactTraining(model, facts, STEPS, lr=rate, seed=seed, after_step=after_step)
    training.run(STEPS)
    return model


@torch.no_grad()
def after_shift(model: Decoder, facts: Facts) -> float:
    """What the model recalls with every bias larger by `SHIFT`, which changes no choice."""
    bias = layers_of(model)[0].router.bias
    bias += SHIFT
    share, _ = recalled(model, facts)
    bias -= SHIFT
    return share


@torch.no_grad()
def moved_gates(model: Decoder, facts: Facts) -> dict[str, float]:
    """How far gates move, of tokens that keep their choice, by ten updates of others' load.

    The tokens are those of a quarter of the questions; the others' are the questions about the
    second half of the things.
    """
    layer, asked = layers_of(model)[0], facts.asked
    ours, others = asked[asked[:, 0] < 32], asked[asked[:, 0] >= 64]
    kept = layer.router.bias.clone()
    before = routed(model, ours)
    for _ in range(10):
        model(others)
        rebalance(layer, torch.ones(others.shape, dtype=torch.bool), 0.01)
    after = routed(model, ours)
    layer.router.bias.copy_(kept)
    same = (before > 0).eq(after > 0).all(dim=-1)  # gates are above 0 where an expert is chosen
    moves = (before[same] - after[same]).abs()[before[same] > 0]
    return {
        "kept": float(same.float().mean()),
        "mean": float(moves.mean()),
        "most": float(moves.max()),
    }


def routed(model: Decoder, ids: Int[Tensor, "B L"]) -> Float[Tensor, "T E"]:
    """The gates of all tokens, 0 for experts that were not chosen."""
    found: list[Tensor] = []

    def keep(router: nn.Module, inputs: tuple[Tensor], chosen: tuple[Tensor, Tensor]) -> None:
        gates, experts = chosen
        found.append(torch.zeros(len(gates), 16).scatter(1, experts, gates))

    hook = layers_of(model)[0].router.register_forward_hook(keep)
    model(ids)
    hook.remove()
    return found[0]


def on_stories(seed: int, step: float) -> float:
    """The held-out loss with the leak of a model that starts as in `d2_frontier`."""
    torch.manual_seed(seed)
    model = Decoder(corpus().vocab_size, 64, 2, 4, lambda: DeepSeekMoE(64, 16, 2, 32, 1))
    for layer in layers_of(model):
        with_router(layer, LeakyRouter, 64)
    step_at = annealed(step, STORY_STEPS, STORY_STEPS * 3 // 5)
    BalancedTraining(
        model, corpus(), STORY_STEPS, lr=STORY_RATE, rebalance=rebalance, step_at=step_at, seed=seed
    ).run()
    return held_out_loss(model, corpus())


@cache
def corpus() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))
