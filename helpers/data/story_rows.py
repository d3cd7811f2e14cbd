"""Texts as rows of tokens: one text per row, from its first token on, padded to the longest.

Letters: N texts, L tokens of the longest text with an end mark on either side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from helpers.data.corpus import end_token, train_tokenizer
from helpers.story_world.stories import Story, stories


@dataclass(frozen=True, eq=False)
class StoryRows:
    """Stories to train on and others held out; a row is the end mark, the story, the end mark.

    `real` marks what is not padding. The tokenizer has seen the training stories alone.
    """

    tokenizer: Tokenizer
    train: tuple[Story, ...]
    held: tuple[Story, ...]
    ids: Int[Tensor, "N L"]
    real: Bool[Tensor, "N L"]
    held_ids: Int[Tensor, "held held_L"]
    held_real: Bool[Tensor, "held held_L"]

    @classmethod
    def build(
        cls, count: int = 20_000, held_out: int = 400, vocab_size: int = 1024, seed: int = 0
    ) -> "StoryRows":
        """`count` stories to train on and `held_out` others, no two of them the same."""
        if count < 1 or held_out < 1:
            raise ValueError(f"count and held_out must be at least 1, got {count} and {held_out}")
        every = stories(count + held_out, seed)
        train, held = every[:count], every[count:]
        tokenizer = train_tokenizer([story.text for story in train], vocab_size)
        rows = (*text_rows(tokenizer, train), *text_rows(tokenizer, held))
        return cls(tokenizer, tuple(train), tuple(held), *rows)

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return self.tokenizer.get_vocab_size()

    @property
    def end(self) -> int:
        """The token that stands before and after each story, and in padding."""
        return end_token(self.tokenizer)

    def prompt(self, text: str = "", rows: int = 1) -> Int[Tensor, "rows P"]:
        """The end mark and the tokens of `text`, repeated in `rows` rows."""
        return torch.tensor([[self.end, *self.tokenizer.encode(text).ids]]).repeat(rows, 1)

    def texts(self, ids: Int[Tensor, "rows P"]) -> list[str]:
        """The text of each row, from after the first end mark to the next."""
        return [self.tokenizer.decode(_until(row[1:], self.end)) for row in ids.tolist()]

    def pieces(self, ids: Int[Tensor, " P"]) -> list[str]:
        """Each token as text, with its spaces; the end mark as it is."""
        return self.tokenizer.decode_batch([[i] for i in ids.tolist()], skip_special_tokens=False)


def text_rows(
    tokenizer: Tokenizer, texts: Sequence[Story]
) -> tuple[Int[Tensor, "N L"], Bool[Tensor, "N L"]]:
    """The ids of each text between two end marks, padded with more, and which are not padding."""
    end = end_token(tokenizer)
    encoded = tokenizer.encode_batch_fast([text.text for text in texts])
    rows = [torch.tensor([end, *row.ids, end]) for row in encoded]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=end)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row
