"""A balanced training in parts is the training at once."""

import torch

from helpers.data.corpus import Corpus
from helpers.data.texts import story_documents
from helpers.model.llama import Decoder
from helpers.training_loops.balance_losses import switch_loss
from helpers.training_loops.balanced_training import BalancedTraining
from helpers.training_loops.balancing import annealed, train_balanced
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance

STEPS = 6


def training(lr=2e-3, loss=None, seed=0):
    """A tiny model and its training of six steps, balanced by the bias."""
    corpus = Corpus.build(story_documents(60, seed=0), vocab_size=300)
    torch.manual_seed(0)
    model = Decoder(corpus.vocab_size, 16, 2, 2, lambda: DeepSeekMoE(16, 4, 2, 8, 1))
    how = {"rebalance": rebalance, "step_at": annealed(0.02, STEPS, 3), "loss": loss, "seed": seed}
    sizes = {"rows": 4, "length": 16}
    return model, corpus, BalancedTraining(model, corpus, STEPS, lr=lr, **how, **sizes), how | sizes


def test_in_parts_it_is_train_balanced():
    _, _, parted, how = training(loss=switch_loss)
    parted.run(2)
    record = parted.run()
    model, corpus, _, _ = training()
    wanted = train_balanced(model, corpus, STEPS, **how)
    assert record.losses == wanted.losses
    assert torch.equal(record.loads, wanted.loads)
    assert torch.equal(record.biases, wanted.biases)


def test_once_over_it_only_returns_the_record():
    _, _, once, _ = training()
    losses = list(once.run().losses)
    assert len(losses) == STEPS
    assert once.run().losses == losses


def test_the_record_so_far_has_a_row_per_step():
    _, _, begun, _ = training()
    record = begun.run(2)
    assert len(record.losses) == 2
    assert record.loads.shape == record.biases.shape == (2, 2, 4)
    assert (record.loads.sum(-1) == 4 * 16 * 2).all()


def test_the_rate_is_its_own():
    slow, fast = (training(lr=lr)[2].run().losses for lr in (1e-4, 1e-2))
    assert slow[0] == fast[0]
    assert slow[-1] > fast[-1]


def test_hooks_are_gone_after_each_part():
    model, _, parted, _ = training(loss=switch_loss)
    parted.run(1)
    hooks = [module._forward_pre_hooks for module in model.modules()]
    assert not any(hooks)
