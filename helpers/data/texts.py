"""Training texts that need no download: Python's own prose and code, stories, and your files."""

import importlib
import os
import random
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.story_world.stories import stories

CHARACTERS = 300_000  # a domain of `three_domains` has at most this many
STORY = 300  # characters; stories are longer on average, so more are told than fit
SHORT = 60  # characters; a paragraph below this may repeat, such as a heading

# Modules that read well and are part of every Python from 3.11 on; their source is plain text.
MODULES = """
    _collections_abc _markupbase base64 bdb bisect calendar cmd code codecs codeop colorsys
    compileall contextlib copy copyreg csv dis fileinput filecmp fnmatch fractions functools
    genericpath getopt getpass gettext graphlib gzip hashlib heapq hmac linecache mimetypes
    modulefinder netrc numbers opcode operator pkgutil plistlib poplib posixpath pprint profile
    py_compile pyclbr queue quopri random reprlib rlcompleter runpy sched secrets selectors
    shelve shlex socketserver string tabnanny tempfile textwrap timeit token tokenize trace
    tracemalloc types uuid warnings wave weakref zipapp
"""


@dataclass(frozen=True)
class Document:
    """One text of a domain, such as prose, code or stories."""

    domain: str
    title: str
    text: str


def python_prose() -> list[Document]:
    """Python's language reference as `help()` shows it, one document per topic, sorted by title.

    Many topics quote others; a repeated paragraph is kept in the longest topic that has it.
    """
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise FileNotFoundError(
            "this Python comes without its language reference (pydoc_data.topics): "
            "install a full Python, for example from python.org, or give documents of your own"
        ) from None
    texts = _without_repeats(topics)
    return [Document("prose", title, texts[title]) for title in sorted(texts)]


def python_code() -> list[Document]:
    """The source of readable modules of the standard library, sorted by name."""
    paths = [Path(sysconfig.get_path("stdlib"), f"{name}.py") for name in sorted(MODULES.split())]
    found = [
        Document("code", path.stem, path.read_text(encoding="utf-8"))
        for path in paths
        if path.is_file()
    ]
    if not found:
        raise FileNotFoundError(
            "this Python comes without the source of its standard library: "
            "install a full Python, for example from python.org, or give documents of your own"
        )
    return found


def story_documents(count: int, seed: int) -> list[Document]:
    """`count` different stories, each titled with its plot."""
    return [Document("stories", story.plot, story.text) for story in stories(count, seed)]


def read_text(path: str | os.PathLike) -> Document:
    """A text file of yours as a document; its domain is the file's name without the suffix."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a text file, and there is none at {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"path must name a text file in UTF-8, and {path} is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"path must name a text file, and {path} holds binary data")
    if not text.strip():
        raise ValueError(f"path must name a file with text in it, and {path} is empty")
    return Document(path.stem, path.name, text)


def three_domains(seed: int = 0) -> list[Document]:
    """Prose, code and stories with nearly the same number of characters each.

    `seed` chooses which topics, modules and stories; documents are never cut.
    """
    rng = random.Random(seed)
    prose, code = python_prose(), python_code()
    budget = min(CHARACTERS, _characters(prose), _characters(code))
    tales = story_documents(budget // STORY, seed)
    return [
        document
        for domain in (prose, code, tales)
        for document in _fill(rng.sample(domain, len(domain)), budget)
    ]


def split(
    documents: Iterable[Document], held_out: float = 0.1, seed: int = 0
) -> tuple[list[Document], list[Document]]:
    """Documents to train on, and `held_out` of each domain's characters to measure on.

    No text is in both, a repeated text is used once, and documents stay whole; only a domain of a
    single document is cut, at the end of a line if there is one.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be between 0 and 1, got {held_out}")
    rng = random.Random(seed)
    unique = list({document.text: document for document in documents}.values())
    train, held = [], []
    for domain in dict.fromkeys(document.domain for document in unique):
        own = [document for document in unique if document.domain == domain]
        if len(own) == 1:
            own, kept = _cut(own[0], held_out)
        else:
            kept = _fill(rng.sample(own, len(own)), int(held_out * _characters(own)))
            kept = kept or [min(own, key=lambda document: len(document.text))]
        held += kept
        train += [document for document in own if document not in kept]
    return train, held


def _without_repeats(topics: dict[str, str]) -> dict[str, str]:
    """The topics, each without the paragraphs that a longer topic has."""
    seen: set[str] = set()
    kept = {}
    for title in sorted(topics, key=lambda title: (-len(topics[title]), title)):
        own = []
        for paragraph in topics[title].split("\n\n"):
            words = " ".join(paragraph.split())
            if len(words) < SHORT or words not in seen:
                own.append(paragraph)
            seen.add(words)
        if sum(map(len, own)) > len(topics[title]) / 2:
            kept[title] = "\n\n".join(own)
    return kept


def _characters(documents: Iterable[Document]) -> int:
    return sum(len(document.text) for document in documents)


def _fill(documents: Iterable[Document], budget: int) -> list[Document]:
    """The documents, in order, that still fit into `budget` characters."""
    chosen = []
    for document in documents:
        if len(document.text) <= budget:
            chosen.append(document)
            budget -= len(document.text)
    return chosen


def _cut(document: Document, held_out: float) -> tuple[list[Document], list[Document]]:
    """The document's first part, to train on, and its last part, to hold out."""
    text = document.text
    middle = int(len(text) * (1 - held_out))
    line_end = text.find("\n", middle) + 1
    cut = line_end if 0 < line_end < len(text) else max(1, middle)
    first, last = (
        Document(document.domain, f"{document.title} ({part})", piece)
        for part, piece in enumerate((text[:cut], text[cut:]), 1)
    )
    return [first], [last]
