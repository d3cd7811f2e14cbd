"""Balance against loss: no balancing, Switch's loss and the bias in several sizes, and their cost.

Every model is D2's small one on stories. What imbalance costs is read from the same models, on
batches of held-out tokens. Models of 64 experts and three domains are asked about batches of one
domain, and how far the domains' loads lie apart.
"""

from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.measuring.devices import dead_experts, slowdown
from helpers.measuring.traffic import chosen_experts, relative_load
from helpers.model.llama import Decoder
from helpers.training_loops.balance_losses import sequence_loss, switch_loss
from helpers.training_loops.balanced_training import BalancedTraining
from helpers.training_loops.balancing import annealed
from helpers.training_loops.language_model import held_out_loss
from solutions.d1_moe import dropped_share, expert_load, load_cv
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance

SEEDS = (0, 1, 2)
E, K, D, EXPERT_DIM, STEPS, RATE, FROZEN_FROM = 16, 2, 64, 32, 120, 5e-3, 72
ALPHAS = (0.003, 0.01, 0.03, 0.1, 0.3)
BIAS_STEPS = (0.001, 0.005, 0.02, 0.1)
DEVICES = (4, 8)
CAPACITIES = (1.0, 1.25, 1.5)
BATCH = 1024  # tokens
WITH_LOSS = 0.0001  # V3's own
SHARED_OFF = {"num_shared": 0, "top_k": K + 1}
MANY = {"num_experts": 64, "top_k": 6}  # for the three domains


def measure(seed: int) -> dict[str, Any]:
    """Per setting the held-out loss, and each layer's balance and what it costs."""
    found = {"none": judged(trained(seed))}
    for alpha in ALPHAS:
        loss = partial(scaled, alpha, switch_loss)
        found[f"Switch {alpha}"] = judged(trained(seed, loss=loss))
    for step in BIAS_STEPS:
        found[f"bias {step}"] = judged(trained(seed, **moved_by(step)))
    small = partial(scaled, WITH_LOSS, partial(sequence_loss, length=64))
    found["bias 0.02, V3's loss"] = judged(trained(seed, loss=small, **moved_by(0.02)))
    bare = trained(seed, sizes=SHARED_OFF, **moved_by(0.02))
    return {
        "settings": found,
        "no shared, top-3": held_out_loss(bare, corpus()),
        "chance": costs([by_chance(seed)], E),
        "three domains": three_domains(seed),
    }


def scaled(alpha: float, loss: Any, affinity: Tensor, experts: Tensor) -> Tensor:
    return alpha * loss(affinity, experts)


def moved_by(step: float) -> dict[str, Any]:
    """The bias, annealed to zero over the last 40% of the steps."""
    return {"rebalance": rebalance, "step_at": annealed(step, STEPS, FROZEN_FROM)}


def trained(
    seed: int,
    text: Corpus | None = None,
    sizes: dict[str, int] | None = None,
    steps: int = STEPS,
    **how: Any,
) -> nn.Module:
    """A model of two layers, trained on `text`, or on stories where none is given."""
    text = text or corpus()
    torch.manual_seed(seed)
    layer = {"num_experts": E, "top_k": K, "expert_dim": EXPERT_DIM, "num_shared": 1}
    layer |= sizes or {}
    model = Decoder(text.vocab_size, D, 2, 4, lambda: make_layer(**layer))
    if steps:
        BalancedTraining(model, text, steps, lr=RATE, seed=seed, **how).run()
    return model


class Nothing(nn.Module):
    """What stands in the shared experts' place where there are none."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def make_layer(num_shared: int, **sizes: int) -> DeepSeekMoE:
    """A layer with `num_shared` shared experts, which may be none."""
    layer = DeepSeekMoE(D, num_shared=max(1, num_shared), **sizes)  # type: ignore[arg-type]
    if num_shared == 0:
        layer.shared = Nothing()  # type: ignore[assignment]
    return layer


def judged(model: nn.Module) -> dict[str, Any]:
    """The held-out loss, and what the load of held-out stories costs, per layer."""
    inputs = corpus().held_out(rows_per_domain=208, length=64)[0][:, :-1]
    return {"loss": held_out_loss(model, corpus())} | costs(chosen_experts(model, inputs), E)


def costs(layers: list[Int[Tensor, "T K"]], num_experts: int) -> dict[str, list[Any]]:
    """Per layer: CV and dead experts of all tokens; means over batches of what imbalance costs."""
    found: dict[str, list[Any]] = {"cv": [], "dead": [], "busiest": [], "dropped": []}
    for experts in layers:
        load = expert_load(experts, num_experts)
        batches = experts[: len(experts) // BATCH * BATCH].split(BATCH)
        loads = [expert_load(batch, num_experts) for batch in batches]
        dropped = [[dropped_share(b, num_experts, c) for b in batches] for c in CAPACITIES]
        found["cv"].append(load_cv(load))
        found["dead"].append(dead_experts(load))
        found["busiest"].append([mean([slowdown(x, n) for x in loads]) for n in DEVICES])
        found["dropped"].append([mean(shares) for shares in dropped])
    return found


def by_chance(seed: int, tokens: int = 13 * BATCH) -> Int[Tensor, "T K"]:
    """As many choices as held-out stories give, by a router that picks any pair alike."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(tokens, E, generator=generator).topk(K, dim=-1).indices


def three_domains(seed: int) -> dict[str, Any]:
    """64 experts: costs without and with the bias, of mixed batches and of a domain's own.

    `apart` is how far the domains' loads lie apart, layer by layer: of the balanced model, of it
    before training, and of it with the tokens' domains shuffled.
    """
    ids, domain = mixed().held_out(rows_per_domain=64, length=64)
    turns = torch.arange(len(ids)).view(len(mixed().domains), -1).T.flatten()
    ids, domain = ids[turns][:, :-1], domain[turns]
    untrained, bare = (chosen_experts(many(seed, steps), ids) for steps in (0, STEPS))
    chosen = chosen_experts(many(seed, STEPS, **moved_by(0.02)), ids)
    found = {"none": costs(bare, 64), "bias 0.02": costs(chosen, 64)}
    row = domain.repeat_interleave(ids.shape[1])
    for i, name in enumerate(mixed().domains):
        found[name] = costs([experts[row == i] for experts in chosen], 64)
    shuffled = row[torch.randperm(len(row), generator=torch.Generator().manual_seed(seed))]
    found["apart"] = {
        "trained": [apart(experts, row) for experts in chosen],
        "untrained": [apart(experts, row) for experts in untrained],
        "shuffled": [apart(experts, shuffled) for experts in chosen],
    }
    return found


def many(seed: int, steps: int, **how: Any) -> nn.Module:
    """A model of 64 experts, after `steps` steps of training on three domains."""
    return trained(seed, mixed(), MANY, steps, **how)


def apart(experts: Int[Tensor, "T K"], domain: Int[Tensor, " T"]) -> float:
    """The largest less the smallest relative load of an expert over domains, a mean of all."""
    shares = relative_load(experts, domain, len(mixed().domains), 64)
    return float((shares.amax(0) - shares.amin(0)).mean())


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@cache
def corpus() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))


@cache
def mixed() -> Corpus:
    return Corpus.build()
