"""Facts are different and random; a rule's questions follow from their groups."""

import pytest
import torch

from helpers.data.facts import RELATIONS, THINGS, VALUES, VOCABULARY, random_facts, ruled_facts


def pairs(facts):
    return {(a, b) for a, b, _ in facts.asked.tolist()}


def test_facts_are_different_and_their_tokens_in_the_ranges():
    facts = random_facts(500, seed=1)
    assert facts.asked.shape == (500, 3)
    assert len(facts) == len(pairs(facts)) == 500
    assert facts.asked[:, :2].max() < THINGS <= facts.asked[:, 2].min()
    assert facts.asked[:, 2].max() < THINGS + RELATIONS <= facts.answer.min()
    assert facts.answer.max() < VOCABULARY
    assert len(facts.answer.unique()) == VALUES


def test_the_seed_alone_decides():
    assert torch.equal(random_facts(50, seed=1).answer, random_facts(50, seed=1).answer)
    assert not torch.equal(random_facts(50, seed=1).answer, random_facts(50, seed=2).answer)


def rows_that_agree(facts, thing, other):
    """Whether two things get the same answer beside every second thing that both are asked with."""
    answers = {
        (a, b): v for (a, b, _), v in zip(facts.asked.tolist(), facts.answer.tolist(), strict=True)
    }
    both = [b for b in range(THINGS) if (thing, b) in answers and (other, b) in answers]
    return both and all(answers[thing, b] == answers[other, b] for b in both)


def test_a_rule_decides_what_is_held_out_and_chance_does_not():
    learned, held_out = ruled_facts(12000, 4000, seed=3)
    assert not pairs(learned) & pairs(held_out)
    like_the_first = [t for t in range(1, THINGS) if rows_that_agree(learned, 0, t)]
    assert like_the_first
    assert all(rows_that_agree(held_out, 0, t) for t in like_the_first)
    by_chance = random_facts(12000, seed=3)
    assert not [t for t in range(1, THINGS) if rows_that_agree(by_chance, 0, t)]


def test_more_facts_than_pairs_are_refused():
    with pytest.raises(ValueError, match="16384 pairs to ask about, got 16385"):
        random_facts(THINGS**2 + 1)
