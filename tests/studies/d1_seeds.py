"""What D1 claims of training, over seeds: run it with -rP for the numbers."""

import pytest
import torch
from torch import nn

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


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> dict[tuple[str, int], tuple[nn.Module, list[float]]]:
    """The lesson's two models, trained as in the lesson, for each seed."""
    runs = {}
    for seed in SEEDS:
        for name, make_ffn in MAKERS.items():
            torch.manual_seed(seed)
            model = Decoder(corpus.vocab_size, D_MODEL, 2, 4, make_ffn)
            runs[name, seed] = model, train_lm(model, corpus, steps=150, rows=8, seed=seed)
    return runs


def test_the_loss_goes_down_by_a_third_on_every_seed(trained) -> None:
    for _, losses in trained.values():
        assert sum(losses[-10:]) / 10 < 0.67 * losses[0]


def test_moe_and_dense_of_equal_active_width_end_close_together(trained, corpus) -> None:
    """At this size and after 150 steps neither wins: the gap is small whatever the seed."""
    for seed in SEEDS:
        moe, dense = (held_out_loss(trained[name, seed][0], corpus) for name in MAKERS)
        print(f"seed {seed}: MoE {moe:.3f}, dense {dense:.3f}, difference {moe - dense:+.3f}")
        assert abs(moe - dense) < 0.2


def test_some_experts_get_more_traffic_than_chance_gives(trained, corpus) -> None:
    inputs = corpus.held_out(rows_per_domain=32, length=64)[0][:, :-1]
    chance = chance_cv(NUM_EXPERTS, TOP_K, inputs.numel())
    for seed in SEEDS:
        for experts in chosen_experts(trained["MoE", seed][0], inputs):
            cv = load_cv(expert_load(experts, NUM_EXPERTS))
            print(f"seed {seed}: CV {cv:.3f}, chance {chance:.3f}")
            assert cv > 2 * chance
