"""A training on facts asks each once before any again, goes on where it stopped, and is scored."""

import pytest
import torch
from torch import nn

from helpers.data.facts import VOCABULARY, random_facts
from helpers.model.llama import Decoder, SwiGLU
from helpers.training_loops.facts import FactTraining, recalled

FACTS = random_facts(40)


def small_model():
    torch.manual_seed(0)
    return Decoder(VOCABULARY, 16, 1, 2, lambda: SwiGLU(16, 32))


class Knows(nn.Module):
    """Answers the first `known` facts right and the others with token 0; records what it is asked.

    An answer is told apart from its question's three tokens alone.
    """

    def __init__(self, known=40):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.answers = {
            tuple(q): a
            for q, a in zip(
                FACTS.asked[:known].tolist(), FACTS.answer[:known].tolist(), strict=True
            )
        }
        self.asked = []

    def forward(self, ids):
        self.asked.append(ids)
        right = torch.tensor([self.answers.get(tuple(row), 0) for row in ids.tolist()])
        logits = nn.functional.one_hot(right, VOCABULARY).float()
        return (self.scale * logits)[:, None].expand(-1, 3, -1)


def test_recall_is_the_share_of_right_answers():
    assert recalled(Knows(), FACTS)[0] == 1.0
    assert recalled(Knows(10), FACTS)[0] == pytest.approx(0.25)


def test_no_fact_comes_again_before_all_have_been_asked():
    model = Knows()
    FactTraining(model, FACTS, 8, lr=0.0, rows=10).run(8)
    for epoch in (model.asked[:4], model.asked[4:]):
        assert sorted(torch.cat(epoch).tolist()) == sorted(FACTS.asked.tolist())


def test_a_training_in_parts_is_the_training_in_one():
    whole, parts = small_model(), small_model()
    FactTraining(whole, FACTS, 10, lr=0.01, rows=10).run(10)
    training = FactTraining(parts, FACTS, 10, lr=0.01, rows=10)
    training.run(3)
    training.run(50)
    assert len(training.losses) == len(training.seconds) == 10
    assert torch.equal(whole.head.weight, parts.head.weight)


def test_facts_are_learned():
    model, steps = small_model(), []
    before, _ = recalled(model, FACTS)
    training = FactTraining(
        model, FACTS, 120, lr=0.02, rows=20, after_step=lambda i, m: steps.append(i)
    )
    training.run(120)
    assert recalled(model, FACTS)[0] > 0.9 > before
    assert steps == list(range(120))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"rows": 41}, "rows must be between 1 and the 40 facts"),
    ],
)
def test_what_cannot_be_trained_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        FactTraining(small_model(), FACTS, **{"steps": 5, "rows": 10, "lr": 0.01} | changed)
