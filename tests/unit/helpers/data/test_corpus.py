"""The tokenizer gives every text back, and windows come from the domain they say."""

import pytest
import torch

from helpers.data.corpus import END_OF_TEXT, Corpus
from helpers.data.texts import Document, read_text, split, story_documents


def made_up(domain, letters, count=40):
    return [Document(domain, f"{i}", f"{letters} {i} " * 30) for i in range(count)]


@pytest.fixture(scope="module")
def corpus():
    return Corpus.build()


@pytest.fixture(scope="module")
def three_alphabets():
    """Domains whose letters tell them apart."""
    domains = made_up("low", "abc") + made_up("high", "XYZ", 10) + made_up("greek", "αβγ", 3)
    return Corpus.build(domains, vocab_size=300)


def test_corpus_has_its_domains_and_size(corpus):
    assert corpus.domains == ("prose", "code", "stories")
    assert corpus.vocab_size == 1024
    assert all(len(ids) > 5_000 for ids in corpus.train + corpus.held)
    assert all(int(ids.max()) < corpus.vocab_size for ids in corpus.train + corpus.held)


@pytest.mark.parametrize(
    "text", ["", " ", "def f(x):\n\treturn x\r\n", "Grüße 世界", "a\0b", "  x"]
)
def test_decode_gives_the_text_back(corpus, text):
    assert corpus.decode(corpus.encode(text)) == text
    assert corpus.decode(torch.tensor(corpus.encode(text), dtype=torch.int64)) == text


def test_same_corpus_on_every_build(three_alphabets):
    domains = made_up("low", "abc") + made_up("high", "XYZ", 10) + made_up("greek", "αβγ", 3)
    again = Corpus.build(domains, vocab_size=300)
    assert again.tokenizer.to_str() == three_alphabets.tokenizer.to_str()
    for one, other in zip(three_alphabets.train, again.train, strict=True):
        assert torch.equal(one, other)


def test_tokenizer_learns_from_the_training_part_alone():
    found = story_documents(60, seed=0)
    train, held = split(found)
    zebra = [Document(d.domain, d.title, d.text + " zebrazebra" * 50) for d in held]
    with_zebra = Corpus.build(train + zebra, vocab_size=400)
    kept_out = "zebra" not in "".join(with_zebra.decode(ids) for ids in with_zebra.train)
    assert kept_out == (not any("zebra" in token for token in with_zebra.tokenizer.get_vocab()))


def test_every_document_ends_with_the_end_of_text(three_alphabets):
    end = three_alphabets.tokenizer.token_to_id(END_OF_TEXT)
    both = zip(three_alphabets.train, three_alphabets.held, strict=True)
    counts = [sum(int((ids == end).sum()) for ids in parts) for parts in both]
    assert counts == [40, 10, 3]


def test_pieces_are_readable(corpus):
    ids = corpus.encode("the  fox\n世")
    pieces = corpus.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces).startswith("the··fox↵")
    assert corpus.pieces(torch.tensor(ids)) == pieces
    assert corpus.pieces([corpus.tokenizer.token_to_id(END_OF_TEXT)]) == [END_OF_TEXT]


def test_windows_come_from_their_domain(three_alphabets):
    own = {"low": set("abc"), "high": set("XYZ"), "greek": set("αβγ")}
    batches = [three_alphabets.batch(30, 12, torch.Generator().manual_seed(0))]
    batches.append(three_alphabets.held_out(7, 12))
    for ids, domain in batches:
        assert ids.shape == (len(domain), 13)
        for row, i in zip(ids, domain.tolist(), strict=True):
            letters = set(three_alphabets.decode(row).replace(END_OF_TEXT, ""))
            assert letters & own[three_alphabets.domains[i]]
            assert not letters & set.union(
                *(own[d] for d in own if d != three_alphabets.domains[i])
            )


def test_batches_mix_domains_evenly_and_follow_the_generator(corpus):
    counts = torch.zeros(3, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        _, domain = corpus.batch(16, 8, generator)
        here = torch.bincount(domain, minlength=3)
        assert int(here.max() - here.min()) <= 1
        counts += here
    assert int(counts.max() - counts.min()) < 0.1 * int(counts.sum())
    one, same, other = (torch.Generator().manual_seed(s) for s in (5, 5, 6))
    first = corpus.batch(16, 8, one)[0]
    assert torch.equal(first, corpus.batch(16, 8, same)[0])
    assert not torch.equal(first, corpus.batch(16, 8, other)[0])


def test_windows_reach_both_ends_of_a_domain():
    corpus = Corpus.build(made_up("low", "abc", 3), vocab_size=257)
    length = len(corpus.train[0]) - 3
    ids, _ = corpus.batch(200, length, torch.Generator().manual_seed(0))
    assert torch.equal(ids.unique(dim=0), corpus.train[0].unfold(0, length + 1, 1).unique(dim=0))


def test_held_out_windows_are_fixed_and_of_held_out_text(corpus):
    ids, domain = corpus.held_out(5, 40)
    again, _ = corpus.held_out(5, 40)
    assert torch.equal(ids, again) and domain.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert len(ids.unique(dim=0)) == 15
    for row, i in zip(ids, domain.tolist(), strict=True):
        assert corpus.decode(row) in corpus.decode(corpus.held[i])
        assert corpus.decode(row) not in corpus.decode(corpus.train[i])


def test_a_file_of_your_own_becomes_a_domain(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("A line of my own poem.\n" * 200, encoding="utf-8")
    corpus = Corpus.build([*made_up("low", "abc"), read_text(path)], vocab_size=300)
    assert corpus.domains == ("low", "poem")
    ids, domain = corpus.batch(4, 16, torch.Generator().manual_seed(0))
    mine = corpus.decode(ids[domain == 1][0]).replace(END_OF_TEXT, "")
    assert set(mine) <= set("A line of my own poem.\n")
    assert corpus.held_out(2, 16)[1].tolist() == [0, 0, 1, 1]


def test_small_texts_make_a_small_vocabulary():
    corpus = Corpus.build([Document("tiny", "t", "ab " * 100)], vocab_size=1024)
    assert 257 <= corpus.vocab_size < 300


def test_impossible_requests_are_refused_in_one_sentence(three_alphabets):
    generator = torch.Generator()
    with pytest.raises(ValueError, match="vocab_size must be at least 257, got 100"):
        Corpus.build(made_up("low", "abc"), vocab_size=100)
    with pytest.raises(ValueError, match="documents must hold at least one document"):
        Corpus.build([])
    with pytest.raises(ValueError, match="held_out must be between 0 and 1"):
        Corpus.build(made_up("low", "abc"), held_out=1.0)
    with pytest.raises(ValueError, match="got rows=0, length=8"):
        three_alphabets.batch(0, 8, generator)
    with pytest.raises(ValueError, match="got rows=2, length=0"):
        three_alphabets.held_out(2, 0)
    with pytest.raises(ValueError, match=r"length must be below the \d+ tokens .* domain 'low'"):
        three_alphabets.batch(2, 10**6, generator)
