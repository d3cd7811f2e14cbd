"""What D2 claims of balance and of the cuts, over seeds: run it with -rP for the numbers."""

from math import ceil

import pytest
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

E, K, D, EXPERT_DIM, STEPS, STEP, FROZEN_FROM = 16, 2, 128, 64, 150, 0.02, 90
FINE = dict(
    zip(("num_experts", "top_k", "expert_dim"), fine_grained(E, K, EXPERT_DIM, 2), strict=True)
)
CUTS = {
    "plain": {},
    "fine experts": {**FINE, "num_shared": 2},
    "token segments": {"num_experts": 32, "num_segments": 2},
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.build(story_documents(2500, seed=0))


def trained(corpus: Corpus, seed: int, bias: bool, **changes) -> tuple[nn.Module, Balanced]:
    """The lesson's model, trained as in the lesson."""
    torch.manual_seed(seed)
    sizes = {"num_experts": E, "top_k": K, "expert_dim": EXPERT_DIM, "num_shared": 1} | changes
    model = Decoder(corpus.vocab_size, D, 2, 4, lambda: DeepSeekMoE(D, **sizes))
    how = {"rebalance": rebalance, "step_at": annealed(STEP, STEPS, FROZEN_FROM)} if bias else {}
    return model, train_balanced(model, corpus, STEPS, seed=seed, **how)


def held_out_cvs(model: nn.Module, corpus: Corpus) -> list[float]:
    inputs = corpus.held_out(rows_per_domain=200, length=64)[0][:, :-1]
    assert chance_cv(E, K, inputs.numel()) < 0.03
    return [load_cv(expert_load(experts, E)) for experts in chosen_experts(model, inputs)]


@pytest.mark.parametrize("seed", range(5))
def test_cv_is_below_a_tenth_with_the_bias_and_not_without(corpus, seed: int) -> None:
    (with_bias, run), (without, _) = (trained(corpus, seed, bias) for bias in (True, False))
    cvs, others = held_out_cvs(with_bias, corpus), held_out_cvs(without, corpus)
    print(f"seed {seed}: CV {cvs} with the bias, {others} without")
    assert max(cvs) < 0.1 < min(others)
    assert settles(run)


def settles(run: Balanced) -> bool:
    """No move above the step, and a centred bias that ranges less late than midway."""
    paths = run.biases - run.biases.mean(dim=-1, keepdim=True)
    _, middle, last = paths[:FROZEN_FROM].split(ceil(FROZEN_FROM / 3))
    ranges = [(part.amax(0) - part.amin(0)).mean() for part in (middle, last)]
    print(f"centred biases range over {ranges[0]:.4f}, then {ranges[1]:.4f}")
    return bool(run.biases.diff(dim=0).abs().max() <= STEP * 1.001 and ranges[1] < ranges[0])


def test_one_budget_cut_three_ways(corpus) -> None:
    """Whatever they are: the losses stand beside each other, none is far from the others."""
    for seed in range(3):
        losses = {
            name: held_out_loss(trained(corpus, seed, True, **changes)[0], corpus)
            for name, changes in CUTS.items()
        }
        print(f"seed {seed}:", {name: round(loss, 3) for name, loss in losses.items()})
        assert max(losses.values()) - min(losses.values()) < 0.5
