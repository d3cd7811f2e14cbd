"""A byte-level BPE tokenizer made on the spot, and random windows of the texts it was made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from helpers.data.texts import Document, split, three_domains

END_OF_TEXT = "<|end|>"
SMALLEST_VOCABULARY = 257  # a token for each byte, and the end of a text


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts as token ids, by domain; domain `i` of a batch is `domains[i]`.

    `train[i]` and `held[i]` hold the ids of domain `i`, with an end-of-text token after each
    document; no document is in both.
    """

    tokenizer: Tokenizer
    domains: tuple[str, ...]
    train: tuple[Int[Tensor, " _"], ...]
    held: tuple[Int[Tensor, " _"], ...]

    @classmethod
    def build(
        cls,
        documents: Iterable[Document] | None = None,
        vocab_size: int = 1024,
        held_out: float = 0.1,
        seed: int = 0,
    ) -> "Corpus":
        """A corpus of `documents` (`three_domains()` where none are given).

        The tokenizer learns from the training part alone, and has at most `vocab_size` tokens.
        """
        documents = three_domains(seed) if documents is None else list(documents)
        for document in documents:
            if not isinstance(document, Document):
                raise TypeError(
                    f"documents must hold Document objects, as read_text makes them, "
                    f"got a {type(document).__name__}"
                )
        train, held = split(documents, held_out, seed)
        if not train:
            raise ValueError("documents must hold at least one document, got none")
        tokenizer = train_tokenizer([document.text for document in train], vocab_size)
        domains = tuple(dict.fromkeys(document.domain for document in train))
        return cls(
            tokenizer,
            domains,
            tuple(_ids(tokenizer, train, domain) for domain in domains),
            tuple(_ids(tokenizer, held, domain) for domain in domains),
        )

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; `decode` restores exactly the same text."""
        return self.tokenizer.encode(text).ids

    def decode(self, ids: Sequence[int] | Int[Tensor, " T"]) -> str:
        """The text of `ids`."""
        return self.tokenizer.decode(_as_list(ids), skip_special_tokens=False)

    def pieces(self, ids: Sequence[int] | Int[Tensor, " T"]) -> list[str]:
        """Each token as readable text: a space is `·`, a line end `↵`, part of a letter `�`."""
        texts = self.tokenizer.decode_batch([[i] for i in _as_list(ids)], skip_special_tokens=False)
        return [text.replace(" ", "·").replace("\n", "↵") for text in texts]

    def batch(
        self, rows: int, length: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "{rows} {length}+1"], Int[Tensor, " {rows}"]]:
        """Random windows of the training texts, and the domain of each.

        Every domain has the same share of rows, to within one; there is no padding.
        """
        self._check_window(self.train, rows, length)
        first = torch.randint(len(self.domains), (1,), generator=generator)
        domain = (first + torch.arange(rows)) % len(self.domains)
        place = torch.rand(rows, generator=generator, dtype=torch.float64)
        windows = [
            _window(self.train[i], int(p * (len(self.train[i]) - length)), length)
            for i, p in zip(domain.tolist(), place.tolist(), strict=True)
        ]
        return torch.stack(windows), domain

    def held_out(
        self, rows_per_domain: int, length: int
    ) -> tuple[Int[Tensor, "rows {length}+1"], Int[Tensor, " rows"]]:
        """Windows spread evenly over the held-out texts, always the same, and their domains.

        They overlap where the texts have fewer than `rows_per_domain * length` tokens.
        """
        self._check_window(self.held, rows_per_domain, length)
        windows = [
            _window(ids, row * (len(ids) - length) // rows_per_domain, length)
            for ids in self.held
            for row in range(rows_per_domain)
        ]
        domain = torch.arange(len(self.domains)).repeat_interleave(rows_per_domain)
        return torch.stack(windows), domain

    def _check_window(self, arrays: tuple[Tensor, ...], rows: int, length: int) -> None:
        if rows < 1 or length < 1:
            raise ValueError(
                f"rows and length must be at least 1, got rows={rows}, length={length}"
            )
        for name, ids in zip(self.domains, arrays, strict=True):
            if len(ids) <= length:
                raise ValueError(
                    f"length must be below the {len(ids)} tokens that this part of domain "
                    f"{name!r} has, got {length}"
                )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens, one of them the end of a text."""
    if vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(f"vocab_size must be at least {SMALLEST_VOCABULARY}, got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def end_token(tokenizer: Tokenizer) -> int:
    """The id of the end of a text; raises a ValueError unless the tokenizer has one."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None:
        raise ValueError(f"the tokenizer must have a token {END_OF_TEXT}, and it does not")
    return end


def _ids(tokenizer: Tokenizer, documents: list[Document], domain: str) -> Tensor:
    texts = [document.text for document in documents if document.domain == domain]
    end = end_token(tokenizer)
    encoded = tokenizer.encode_batch_fast(texts)
    return torch.tensor([i for text in encoded for i in [*text.ids, end]])


def _window(ids: Tensor, start: int, length: int) -> Tensor:
    return ids[start : start + length + 1]


def _as_list(ids: Sequence[int] | Tensor) -> list[int]:
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)
