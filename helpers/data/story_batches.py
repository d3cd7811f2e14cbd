"""Batches of stories that depend on their step alone, so that any step can be taken up again.

Letters: N stories, P tokens of the longest, B rows of a batch, L tokens of the longest of them.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

BATCHES = 8  # drawn together: 4% of what they hold is padding, and 23% of batches drawn alone


class StoryBatches:
    """Random rows, of like length within a batch, which is cut to the longest of them."""

    def __init__(self, ids: Int[Tensor, "N P"], real: Bool[Tensor, "N P"], batch: int, seed: int):
        self.ids, self.real, self.batch_size, self.seed = ids, real, batch, seed
        self._begin()

    def batch(self, step: int) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """The ids of batch `step`, counted from 0, and which are real; L is that of the longest."""
        turn, place = divmod(step, BATCHES)
        if turn < self.turn:
            self._begin()
        while self.turn < turn:
            self._draw()
        picked = self.drawn[-1 - place]
        ids, real = self.ids[picked], self.real[picked]
        length = int(real.sum(1).max())
        return ids[:, :length], real[:, :length]

    def _begin(self) -> None:
        self.generator, self.turn = torch.Generator().manual_seed(self.seed), -1
        self._draw()

    def _draw(self) -> None:
        """Rows for the next eight batches: sorted by length, cut in batches, then shuffled."""
        count = BATCHES * self.batch_size
        picked = torch.randint(len(self.ids), (count,), generator=self.generator)
        by_length = picked[self.real[picked].sum(1).argsort(stable=True)]
        batches = by_length.split(self.batch_size)
        self.drawn = [batches[i] for i in torch.randperm(BATCHES, generator=self.generator)]
        self.turn += 1
