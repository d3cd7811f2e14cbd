"""What the check of generation runs on: prompts, and models that remember how they were called.

Letters: B rows, L tokens of the prompt.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from checks.d3_mla.cases import randomise
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference

_LAYERS = 2
_TO_SPARE = 200  # positions


class _Seen:
    """A cache of one layer: the ids of all positions so far, as full as `LatentCache` gets."""

    def __init__(self, batch: int, capacity: int):
        if batch < 1 or capacity < 1:
            raise ValueError(f"batch and capacity must be at least 1, got {batch} and {capacity}")
        self.batch, self.capacity = batch, capacity
        self.ids = torch.zeros(batch, 0, dtype=torch.int64)

    def __len__(self) -> int:
        return self.ids.shape[1]

    def append(self, ids: Tensor) -> Tensor:
        end = len(self) + ids.shape[1]
        if len(ids) != self.batch:
            raise ValueError(f"the cache is for a batch of {self.batch}, and {len(ids)} rows came")
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, and {end} are needed")
        self.ids = torch.cat([self.ids, ids], dim=1)
        return self.ids


class _Chain(nn.Module):
    """Logits of each position from every token up to it, in their order; caches as DeepSeek's."""

    def __init__(self, vocab: int):
        super().__init__()
        self.embed = nn.Embedding(vocab, 8)
        self.turn = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, vocab, bias=False)

    def forward(self, ids: Tensor, caches: Sequence[_Seen] | None = None) -> Tensor:
        if ids.ndim != 2:
            raise ValueError(f"ids must be of shape (B, L), got {tuple(ids.shape)}")
        seen = ids
        if caches is not None:
            if len(caches) != _LAYERS:
                raise ValueError(f"caches must be {_LAYERS}, one per layer, got {len(caches)}")
            seen = [cache.append(ids) for cache in caches][-1]
        state, states = torch.zeros(len(ids), 8, dtype=torch.float64), []
        for column in seen.T:
            state = torch.tanh(2 * self.turn(state) + 2 * self.embed(column))
            states.append(state)
        return self.head(torch.stack(states[-ids.shape[1] :], dim=1))

    def new_caches(self, batch: int, capacity: int) -> list[_Seen]:
        return [_Seen(batch, capacity) for _ in range(_LAYERS)]


@dataclass(frozen=True)
class _Call:
    """One call of a model: how many tokens per row it was fed, and how."""

    tokens: int
    cached: bool
    graph: bool


class Watched:
    """Before a model in its bases: keeps in `calls` how it was called, in `made` what was asked.

    Its caches have room to spare: who feeds too much gets wrong tokens, and no word of room.
    """

    calls: list[_Call]
    made: list[tuple[int, int]]

    def forward(self, ids: Tensor, caches: Sequence | None = None) -> Tensor:
        logits = super().forward(ids, caches)  # type: ignore[misc]  # of the model behind it
        self.calls.append(_Call(ids.shape[1], caches is not None, logits.requires_grad))
        return logits

    def new_caches(self, batch: int, capacity: int) -> list:
        self.made.append((batch, capacity))
        return super().new_caches(batch, capacity + _TO_SPARE)  # type: ignore[misc]  # its too

    def forget(self) -> None:
        self.calls, self.made = [], []


class _WatchedChain(Watched, _Chain):
    pass


class _WatchedDeepSeek(Watched, reference.DeepSeek):
    pass


@dataclass(frozen=True)
class Text:
    """One case: a prompt of `length` tokens in each of `batch` rows, `new` tokens behind it."""

    batch: int
    length: int
    new: int
    vocab: int
    seed: int
    deep: bool = False

    def __str__(self) -> str:
        model = "a small DeepSeek" if self.deep else "a model of the check's own"
        return (
            f"{model} of {self.vocab} tokens, a prompt of shape {(self.batch, self.length)}, "
            f"{self.new} new tokens"
        )

    def model(self) -> Any:
        """A `Watched` model in float64, with the same weights each time."""
        generator = torch.Generator().manual_seed(self.seed)
        made = _WatchedDeepSeek(self._config()) if self.deep else _WatchedChain(self.vocab)
        randomise(made.double(), generator)
        made.forget()
        return made

    def _config(self) -> DeepSeekConfig:
        return DeepSeekConfig(
            vocab_size=self.vocab,
            num_layers=2,
            d_model=8,
            num_heads=2,
            d_head=4,
            d_latent=4,
            d_rope=2,
            num_experts=4,
            top_k=2,
            expert_dim=3,
            num_shared=1,
            dense_layers=1,
            dense_dim=8,
        )

    def ids(self, offset: int = 0) -> Tensor:
        """The prompt, another one for another `offset`; its rows are not contiguous."""
        generator = torch.Generator().manual_seed(self.seed + offset)
        return torch.randint(self.vocab, (self.length, self.batch), generator=generator).T


def texts(rng: random.Random) -> list[Text]:
    """Five cases: several rows, one row, one token of prompt, a long prompt and few new tokens, and
    a real model.
    """

    def case(batch: int, length: int, new: int, **kind: Any) -> Text:
        sizes = {"vocab": rng.randint(9, 12), "seed": rng.randrange(10**6)} | kind
        return Text(batch, length, new, **sizes)

    few, some, more = rng.sample(range(3, 8), 3)
    return [
        case(2, few, some),
        case(1, some, few, vocab=5),
        case(3, 1, more),
        case(4, 9, 2),
        case(2, 4, 5, deep=True),
    ]
