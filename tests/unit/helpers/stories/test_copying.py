"""What counts as a right copy, on stories of three tokens' worth of words."""

import math

import pytest
import torch
from torch import nn

from helpers.story_world.copying import (
    WORDS,
    guessed_copies,
    right_copies,
    told_before,
    told_loss,
    word_tokens,
)

SORTS = {"names": torch.tensor([1, 2, 3]), "colours": torch.tensor([7, 8])}
#      Mila red Mila Otto red Mila Otto; 0 is any other word
ROW = [0, 1, 7, 1, 2, 7, 1, 2]


class Says(nn.Module):
    """Gives `favourite` everywhere the highest logit, and after it the words in order."""

    def __init__(self, *favourites: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))
        self.favourites = favourites

    def forward(self, ids):
        logits = torch.zeros(*ids.shape, 10)
        for place, word in enumerate(self.favourites):
            logits[..., word] = 10 - place
        return logits


class CopiesLast(Says):
    """Knows the row by heart."""

    def forward(self, ids):
        following = torch.tensor(ROW[1:]).expand(len(ids), -1)
        return nn.functional.one_hot(following, 10).float()


def test_a_word_is_told_once_it_stands_earlier_in_its_row():
    told = told_before(torch.tensor([ROW, ROW[::-1]]), SORTS["names"])
    assert told[0].tolist() == [False, False, False, True, False, False, True, True]
    assert not told[:, 0].any()


def test_only_words_of_the_sort_are_compared():
    ids = torch.tensor([ROW])
    assert right_copies(CopiesLast(), ids, SORTS) == {"names": 1.0, "colours": 1.0}
    said = right_copies(Says(0, 1, 8), ids, SORTS)  # any other word first, then Mila, then 8
    assert said == {"names": pytest.approx(2 / 3), "colours": 0.0}


def test_rows_are_read_in_parts_and_counted_together():
    many = torch.tensor([ROW]).repeat(205, 1)
    assert right_copies(Says(1, 8), many, SORTS)["names"] == pytest.approx(2 / 3)


def test_the_loss_is_that_of_words_told_before_alone():
    many = torch.tensor([ROW]).repeat(205, 1)
    assert told_loss(Says(), many, SORTS) == pytest.approx(math.log(10))
    assert told_loss(CopiesLast(), many, SORTS) == pytest.approx(math.log(math.e + 9) - 1)
    # Mila, red, Mila, Otto: only the second is not the word that is said
    found = told_loss(Says(7), many, SORTS)
    assert found == pytest.approx(math.log(math.e**10 + 9) - 10 / 4)


def test_a_guess_is_among_the_words_that_the_story_has_told():
    guessed = guessed_copies(torch.tensor([ROW]), SORTS)
    # Mila with one name told, then Mila and Otto with two
    assert guessed == {"names": pytest.approx((1 + 1 / 2 + 1 / 2) / 3), "colours": 1.0}


def test_every_word_has_a_token_of_its_own():
    numbers = {f"Ġ{word}": i for i, word in enumerate(w for words in WORDS.values() for w in words)}
    sorts = word_tokens(numbers.get)
    assert {sort: len(tokens) for sort, tokens in sorts.items()} == {
        sort: len(words) for sort, words in WORDS.items()
    }


def test_a_word_of_several_tokens_is_refused():
    with pytest.raises(ValueError, match="'Mila' takes several"):
        word_tokens(lambda piece: None if piece == "ĠMila" else 1)
