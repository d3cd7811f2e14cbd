"""Batches that depend on their step alone, from files and from stories."""

import itertools

import numpy as np
import pytest
import torch

from helpers.data.corpus import train_tokenizer
from helpers.data.shuffled import Shuffled
from helpers.data.story_batches import StoryBatches
from helpers.data.story_rows import StoryRows
from helpers.data.token_file import KIND, TokenWindows, read_tokens, write_tokens


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000, 4097])
def test_a_shuffled_order_is_a_permutation(count):
    for seed in (0, 1):
        shuffled = Shuffled(count, seed)
        assert sorted(shuffled[i] for i in range(count)) == list(range(count))


def test_seeds_differ_and_neighbours_part():
    first, second = ([Shuffled(1000, seed)[i] for i in range(1000)] for seed in (0, 1))
    assert first != second
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(first)) < 20


def test_an_index_outside_is_refused():
    with pytest.raises(IndexError, match="from 0 to 9, got 10"):
        Shuffled(10, 0)[10]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Shuffled(0, 0)


@pytest.fixture
def counted(tmp_path):
    """The tokens 0, 1, 2, …, 100 of a file."""
    path = tmp_path / "text.tokens"
    np.arange(101, dtype=KIND).tofile(path)
    return read_tokens(path)


def test_a_pass_reads_every_window_once(counted):
    windows = TokenWindows(counted, length=10, batch=5, seed=0)
    ids = torch.cat([windows.batch(step)[0] for step in range(2)])
    assert sorted(ids[:, 0].tolist()) == list(range(0, 100, 10))
    assert torch.equal(ids[:, 1:], ids[:, :-1] + 1)
    assert windows.batch(0)[1].all()


def test_each_pass_has_an_order_of_its_own(counted):
    windows = TokenWindows(counted, length=10, batch=10, seed=0)
    assert not torch.equal(windows.batch(0)[0], windows.batch(1)[0])


def test_a_share_is_left_alone_by_the_other(counted):
    parts = [TokenWindows(counted, 10, 1, 0, share) for share in ((0.0, 0.8), (0.8, 1.0))]
    first, last = ({int(part.batch(step)[0][0, 0]) for step in range(10)} for part in parts)
    assert (len(first), last) == (8, {80, 90}) and not first & last


def test_too_short_a_text_is_one_sentence(counted):
    with pytest.raises(ValueError, match="2 windows of 10 tokens in its part from 80% to 100%"):
        TokenWindows(counted, 10, 3, 0, (0.8, 1.0))


def test_a_text_in_pieces_is_the_text(tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text("one line\nand another, longer one\n" * 20, encoding="utf-8")
    tokenizer = train_tokenizer([text.read_text(encoding="utf-8")], 300)
    monkeypatch.setattr("helpers.data.token_file.PIECE", 7)
    count = write_tokens([text, text], tokenizer, tmp_path / "text.tokens")
    tokens = read_tokens(tmp_path / "text.tokens")
    assert len(tokens) == count
    whole = tokenizer.decode(tokens.tolist(), skip_special_tokens=True)
    assert whole == text.read_text(encoding="utf-8") * 2


def test_story_batches_depend_on_their_step_alone():
    rows = StoryRows.build(200, 10)
    in_order = StoryBatches(rows.ids, rows.real, 4, 3)
    wanted = [in_order.batch(step) for step in range(20)]
    asked = StoryBatches(rows.ids, rows.real, 4, 3)
    for step in (0, 7, 8, 19, 2):
        for found, own in zip(asked.batch(step), wanted[step], strict=True):
            assert torch.equal(found, own)
