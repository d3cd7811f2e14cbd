"""Training follows the texts and the seed, and measuring leaves the model alone."""

import math

import pytest
import torch
from torch import nn

from helpers.data.corpus import Corpus
from helpers.data.texts import Document, story_documents
from helpers.model.llama import Decoder, SwiGLU
from helpers.training_loops.language_model import (
    Training,
    held_out_loss,
    held_out_loss_by_domain,
    train_lm,
)
from helpers.training_loops.optimiser import warm_up_then_decay

SIZE = {"rows": 4, "length": 16}


@pytest.fixture(scope="module")
def corpus():
    counting = [Document("counting", f"{i}", f"{i} and {i + 1} " * 20) for i in range(60)]
    return Corpus.build(story_documents(60, seed=0) + counting, vocab_size=300)


def small_model(corpus, seed=0):
    torch.manual_seed(seed)
    return Decoder(corpus.vocab_size, 32, 1, 2, lambda: SwiGLU(32, 64))


class Uniform(nn.Module):
    """Gives every token the same probability, and records the ids it was asked for."""

    def __init__(self, vocab_size):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(vocab_size))
        self.seen = []

    def forward(self, ids):
        self.seen.append(ids)
        return self.logits.expand(*ids.shape, -1)


def test_loss_falls_and_starts_near_uniform(corpus):
    losses = train_lm(small_model(corpus), corpus, 60, lr=5e-3, **SIZE)
    assert len(losses) == 60
    assert losses[0] == pytest.approx(math.log(corpus.vocab_size), abs=0.5)
    assert sum(losses[-10:]) / 10 < losses[0] - 1


def test_held_out_loss_falls_too(corpus):
    model = small_model(corpus)
    before = held_out_loss(model, corpus, 4, 16)
    train_lm(model, corpus, 60, lr=5e-3, **SIZE)
    assert held_out_loss(model, corpus, 4, 16) < before - 1


def test_uniform_model_loses_the_logarithm_of_the_vocabulary(corpus):
    by_domain = held_out_loss_by_domain(Uniform(corpus.vocab_size), corpus, 4, 16)
    expected = math.log(corpus.vocab_size)
    assert by_domain == {d: pytest.approx(expected) for d in ("stories", "counting")}
    assert held_out_loss(Uniform(corpus.vocab_size), corpus, 4, 16) == pytest.approx(expected)


def test_a_model_that_knows_the_next_token_loses_nothing(corpus):
    ids, _ = corpus.held_out(4, 16)
    following = {tuple(row[:-1].tolist()): row[1:] for row in ids}

    class Oracle(nn.Module):
        def forward(self, rows):
            targets = torch.stack([following[tuple(row.tolist())] for row in rows])
            return 100.0 * nn.functional.one_hot(targets, corpus.vocab_size)

    assert held_out_loss(Oracle(), corpus, 4, 16) == pytest.approx(0.0, abs=1e-6)


def test_same_seed_gives_two_models_the_same_batches(corpus):
    models = [Uniform(corpus.vocab_size) for _ in range(3)]
    for model, seed in zip(models, (7, 7, 8), strict=True):
        train_lm(model, corpus, 3, seed=seed, **SIZE)
    one, same, other = (torch.stack(model.seen) for model in models)
    assert one.shape == (3, 4, 16)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_training_repeats_itself_and_ignores_the_global_seed(corpus):
    first = train_lm(small_model(corpus), corpus, 3, **SIZE)
    model = small_model(corpus)
    torch.manual_seed(99)
    assert train_lm(model, corpus, 3, **SIZE) == pytest.approx(first, abs=1e-5)


def test_after_step_runs_after_each_step_without_gradients(corpus):
    model, seen = small_model(corpus), []

    def after_step(step, of):
        seen.append((step, of is model, torch.is_grad_enabled()))

    train_lm(model, corpus, 3, after_step=after_step, **SIZE)
    assert seen == [(0, True, False), (1, True, False), (2, True, False)]


def test_extra_loss_is_minimised_and_not_reported(corpus):
    plain, pulled = small_model(corpus), small_model(corpus)
    reported = train_lm(plain, corpus, 30, lr=5e-3, **SIZE)
    with_extra = train_lm(
        pulled, corpus, 30, lr=5e-3, extra_loss=lambda m: m.head.weight.square().sum(), **SIZE
    )
    assert with_extra[0] == pytest.approx(reported[0])
    assert pulled.head.weight.norm() < 0.5 * plain.head.weight.norm()


def test_measuring_changes_nothing(corpus):
    model = small_model(corpus)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    for mode in (True, False):
        model.train(mode)
        held_out_loss(model, corpus, 2, 8)
        assert model.training is mode
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("steps", [1, 2, 31])
def test_the_learning_rate_rises_and_falls_within_any_number_of_steps(steps):
    rates = [warm_up_then_decay(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates) and max(rates) == 1


def test_no_steps_are_refused(corpus):
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        train_lm(small_model(corpus), corpus, 0)


def test_a_training_cut_in_parts_is_the_training_in_one(corpus):
    whole, cut = small_model(corpus), small_model(corpus)
    losses, seen = train_lm(whole, corpus, 7, **SIZE), []
    training = Training(cut, corpus, 7, after_step=lambda step, _: seen.append(step), **SIZE)
    for steps in (2, 4, 100):
        training.run(steps)
        held_out_loss(cut, corpus, 2, 8)
    assert training.losses == losses and seen == list(range(7))
    pairs = zip(whole.parameters(), cut.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_part_trains_no_more_than_asked_and_nothing_after_the_end(corpus, capsys):
    model = small_model(corpus)
    training = Training(model, corpus, 3, **SIZE)
    training.run(2)
    assert len(training.losses) == 2 and "2/3" in capsys.readouterr().err
    training.run(1)
    before = [p.clone() for p in model.parameters()]
    capsys.readouterr()
    training.run(1)
    assert len(training.losses) == 3
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    bar = capsys.readouterr().err
    assert "3/3" in bar and f"loss={training.losses[-1]:.3f}" in bar


def test_train_lm_gives_the_numbers_that_its_docstring_describes(corpus):
    """Written out once more, step by step: AdamW, warm-up and decay, clipped gradients."""
    model, ours = small_model(corpus), small_model(corpus)
    losses = train_lm(model, corpus, 3, seed=5, lr=1e-3, **SIZE)
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(ours.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    for loss, share in zip(losses, (1 / 3, 2 / 3, 1), strict=True):
        optimizer.param_groups[0]["lr"] = 1e-3 * share
        ids, _ = corpus.batch(generator=generator, **SIZE)
        mine = nn.functional.cross_entropy(ours(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        mine.backward()
        nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
        optimizer.step()
        assert mine.item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("steps", [0, -1])
def test_a_part_without_steps_is_refused(corpus, steps):
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        Training(small_model(corpus), corpus, 3).run(steps)
