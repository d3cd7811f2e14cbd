"""Texts larger than memory: their tokens in one file on disk, read where a batch needs them.

Letters: B rows of a batch, L positions.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer
from tokenizers import Tokenizer
from torch import Tensor

from helpers.data.corpus import end_token
from helpers.data.shuffled import Shuffled

PIECE = 1 << 20  # characters that are encoded at once
KIND = np.uint32


def write_tokens(texts: Iterable[Path], tokenizer: Tokenizer, target: Path) -> int:
    """The number of tokens in `target`, which holds those of every text and an end mark after each.

    A text is read a piece at a time, so memory does not grow with it; pieces end where lines do.
    """
    end, count = end_token(tokenizer), 0
    part = target.with_name(target.name + ".part")
    with part.open("wb") as file:
        for path in texts:
            for piece in _pieces(path):
                count += _write(file, tokenizer.encode(piece, add_special_tokens=False).ids)
            count += _write(file, [end])
    part.replace(target)
    return count


def _write(file, ids: list[int]) -> int:
    file.write(np.asarray(ids, KIND).tobytes())
    return len(ids)


def _pieces(path: Path) -> Iterator[str]:
    """The text of a file in pieces of about a megabyte, each up to the end of a line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        while piece := file.read(PIECE):
            yield piece + file.readline()


def read_tokens(path: Path) -> Integer[Tensor, " tokens"]:
    """The tokens that `write_tokens` wrote, mapped: only what is looked at is read."""
    size = path.stat().st_size // torch.uint32.itemsize
    return torch.from_file(str(path), size=size, dtype=torch.uint32)


class TokenWindows:
    """Batches of windows of `tokens`; which rows a batch has depends on its step alone.

    A window is L + 1 tokens, the first of them the last of the window before. Each pass over the
    tokens has an order of its own, by `seed`; nothing but the windows of a batch is read. `share`
    is the part that they are taken from, such as (0.9, 1.0) for the last tenth.
    """

    def __init__(
        self,
        tokens: Integer[Tensor, " tokens"],
        length: int,
        batch: int,
        seed: int,
        share: tuple[float, float] = (0.0, 1.0),
    ):
        self.tokens = tokens
        self.length, self.batch_size, self.seed = length, batch, seed
        windows = (len(tokens) - 1) // length
        self.first, end = (int(part * windows) for part in share)
        self.count = end - self.first
        if self.count < batch:
            raise ValueError(
                f"the text holds {self.count} windows of {length} tokens in its part from "
                f"{share[0]:.0%} to {share[1]:.0%}, and a batch needs {batch}"
            )

    def batch(
        self, step: int
    ) -> tuple[Int[Tensor, "B {self.length}+1"], Bool[Tensor, "B {self.length}+1"]]:
        """The ids of batch `step`, counted from 0, and that all of them are real."""
        first = step * self.batch_size
        rows = [self._window(i) for i in range(first, first + self.batch_size)]
        ids = torch.stack(rows)
        return ids, torch.ones_like(ids, dtype=torch.bool)

    def _window(self, i: int) -> Int[Tensor, " {self.length}+1"]:
        turn, place = divmod(i, self.count)
        window = self.first + Shuffled(self.count, self.seed + turn)[place]
        start = window * self.length
        return self.tokens[start : start + self.length + 1].long()
