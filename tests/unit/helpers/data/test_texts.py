"""Texts that need no download, files of the learner's own, and the split by documents."""

import importlib
import sys
import sysconfig

import pytest

from helpers.data.texts import (
    Document,
    python_code,
    python_prose,
    read_text,
    split,
    story_documents,
    three_domains,
)


def documents(domain, sizes):
    return [Document(domain, f"{i}", f"{domain} {i}: " + "x" * n) for i, n in enumerate(sizes)]


def sizes_by_domain(found):
    sizes = dict.fromkeys((document.domain for document in found), 0)
    for document in found:
        sizes[document.domain] += len(document.text)
    return sizes


def test_python_brings_enough_prose_and_code_in_a_fixed_order():
    for read, domain in ((python_prose, "prose"), (python_code, "code")):
        found = read()
        titles = [document.title for document in found]
        assert titles == sorted(titles) and len(titles) == len(set(titles)) > 30
        assert {document.domain for document in found} == {domain}
        assert sum(len(document.text) for document in found) > 300_000
        assert found == read()


def test_no_topic_of_the_prose_quotes_another():
    paragraphs = [
        " ".join(paragraph.split())
        for document in python_prose()
        for paragraph in document.text.split("\n\n")
    ]
    long = [paragraph for paragraph in paragraphs if len(paragraph) >= 60]
    assert len(long) == len(set(long)) > 500


def test_three_domains_have_even_shares():
    sizes = sizes_by_domain(three_domains())
    assert list(sizes) == ["prose", "code", "stories"]
    assert max(sizes.values()) < 1.05 * min(sizes.values())
    assert three_domains(1) == three_domains(1) != three_domains(2)


def test_split_is_by_whole_documents_and_shares_no_text():
    found = three_domains()
    train, held = split(found)
    assert not {d.text for d in train} & {d.text for d in held}
    assert set(train) | set(held) == set(found)
    whole, part = sizes_by_domain(found), sizes_by_domain(held)
    assert all(0.05 < part[domain] / whole[domain] <= 0.1 for domain in whole)
    assert (train, held) == split(found) != split(found, seed=1)


def test_split_uses_a_repeated_text_once():
    once = documents("a", [50] * 10)
    train, held = split(once + once, 0.3)
    texts = [document.text for document in train + held]
    assert sorted(texts) == sorted(document.text for document in once)


def test_split_holds_something_out_where_every_document_is_large():
    train, held = split(documents("a", [500, 400]), 0.1)
    assert [len(train), len(held)] == [1, 1] and len(held[0].text) < len(train[0].text)


@pytest.mark.parametrize("text", ["line\n" * 100, "no line end " * 40])
def test_split_cuts_a_domain_of_one_document(text):
    train, held = split([Document("mine", "my.txt", text)], 0.2)
    assert [d.title for d in train + held] == ["my.txt (1)", "my.txt (2)"]
    assert train[0].text + held[0].text == text
    assert 0.1 < len(held[0].text) / len(text) < 0.3


@pytest.mark.parametrize("held_out", [0.0, 1.0, -0.1, 1.5])
def test_split_refuses_an_impossible_share(held_out):
    with pytest.raises(ValueError, match=f"held_out must be between 0 and 1, got {held_out}"):
        split(documents("a", [10]), held_out)


def test_story_documents_differ_and_carry_their_plot():
    found = story_documents(30, seed=1)
    assert len({document.text for document in found}) == 30
    assert {"gift", "theft"} & {document.title for document in found}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_read_text_takes_any_utf8_file(tmp_path, encoding):
    path = tmp_path / "my notes.txt"
    path.write_text("Grüße, 世界\n", encoding=encoding)
    assert read_text(path) == Document("my notes", "my notes.txt", "Grüße, 世界\n")
    assert read_text(str(path)) == read_text(path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "path must name a text file, and there is none at"),
        (b"", ValueError, "is empty"),
        (b" \n\n", ValueError, "is empty"),
        (b"\xff\xfeh\x00i\x00", ValueError, "is not UTF-8"),
        (b"PK\x03\x04\x00\x00", ValueError, "holds binary data"),
    ],
)
def test_read_text_says_in_one_sentence_what_is_wrong(tmp_path, content, error, message):
    path = tmp_path / "my.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as raised:
        read_text(path)
    assert "my.txt" in str(raised.value) and "\n" not in str(raised.value)


def test_read_text_refuses_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at"):
        read_text(tmp_path)


def test_python_without_its_language_reference_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match="install a full Python"):
        python_prose()
    monkeypatch.undo()
    assert importlib.import_module("pydoc_data.topics")


def test_python_without_sources_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "python.zip"))
    with pytest.raises(FileNotFoundError, match="install a full Python"):
        python_code()
