"""Where tokens go, and what pushes them there."""

import pytest
import torch

from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.model.llama import Decoder, SwiGLU
from helpers.training_loops.balance_losses import Affinities, sequence_loss, switch_loss
from helpers.training_loops.balancing import annealed, train_balanced
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance


def decoder(vocab_size: int = 40) -> Decoder:
    torch.manual_seed(0)
    return Decoder(vocab_size, 16, 2, 2, lambda: DeepSeekMoE(16, 6, 2, 8, 1))


def test_every_layer_with_experts_tells_its_choices() -> None:
    model, ids = decoder(), torch.randint(40, (3, 5))
    layers = chosen_experts(model, ids)
    assert [tuple(experts.shape) for experts in layers] == [(15, 2), (15, 2)]
    dense = Decoder(40, 16, 2, 2, lambda: SwiGLU(16, 8))
    assert layers_of(dense) == []


def test_relative_load_is_one_for_the_even_share() -> None:
    experts = torch.tensor([[0, 1], [0, 1], [2, 3], [0, 3]])
    load = relative_load(experts, [0, 0, 0, 1], 2, 4)
    counted = torch.tensor([[2, 2, 1, 1], [1, 0, 0, 1]]).float()
    assert torch.allclose(load, counted / counted.mean(1, keepdim=True))
    with pytest.raises(ValueError, match="one group per row, 4, got 3"):
        relative_load(experts, [0, 0, 0], 2, 4)


def test_both_losses_are_one_when_even_and_more_when_not() -> None:
    even = torch.eye(4).roll(1, 0).repeat(3, 1)
    experts = even.argmax(1, keepdim=True)
    for loss in (switch_loss, lambda a, e: sequence_loss(a, e, 4)):
        assert torch.allclose(loss(even, experts), torch.tensor(1.0))
        assert loss(even[:1].repeat(12, 1), experts[:1].repeat(12, 1)) == 4.0
    with pytest.raises(ValueError, match="length must divide the 12 tokens, got 5"):
        sequence_loss(even, experts, 5)


def test_affinities_are_those_of_the_last_pass_and_carry_gradients() -> None:
    model = decoder()
    affinities = Affinities(model)
    for _ in range(2):
        model(torch.randint(40, (2, 3)))
    assert [tuple(a.shape) for a in affinities.sigmoids()] == [(6, 6), (6, 6)]
    sum(a.sum() for a in affinities.sigmoids()).backward()
    assert all(layer.router.gate.weight.grad.any() for layer in layers_of(model))
    affinities.remove()
    before = affinities.logits
    model(torch.randint(40, (4, 3)))
    assert affinities.logits is before and len(before[0]) == 6


def test_the_step_is_annealed_to_exactly_zero() -> None:
    step_at = annealed(0.02, steps=10, from_step=5)
    assert [step_at(i) for i in range(6)] == [0.02] * 6
    assert step_at(7) == pytest.approx(0.01)
    assert step_at(9) == 0.0
    with pytest.raises(ValueError, match="from_step must be between 0 and 8, got 9"):
        annealed(0.02, steps=10, from_step=9)


def test_training_keeps_every_load_and_moves_biases_by_at_most_a_step() -> None:
    corpus = Corpus.build(story_documents(60, seed=0), vocab_size=300)
    run = train_balanced(
        decoder(corpus.vocab_size),
        corpus,
        steps=6,
        rebalance=rebalance,
        step_at=lambda i: 0.01,
        loss=switch_loss,
        rows=2,
        length=8,
    )
    assert run.loads.shape == run.biases.shape == (6, 2, 6)
    assert (run.loads.sum(-1) == 2 * 8 * 2).all()
    moves = run.biases.diff(dim=0, prepend=torch.zeros(1, 2, 6)).abs()
    assert 0 < moves.max() <= 0.0101


def test_without_a_rebalance_no_bias_moves() -> None:
    corpus = Corpus.build(story_documents(60, seed=0), vocab_size=300)
    run = train_balanced(decoder(corpus.vocab_size), corpus, steps=2, rows=2, length=8)
    assert not run.biases.any()
