"""What the check of generation runs on: prompts, and models that remember how they were called.

Letters: B rows, L tokens of the prompt.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from checks.d3_mla.cases import randomise
from checks.grading import expect
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference

_LAYERS = 2
_WIDTHS = 3, 2  # of what a layer caches of a token: its id and zeros, and zeros
_LONG = 2100  # tokens


class _Attention(nn.Module):
    """What makes a layer's cache, and reads the ids of all positions back from it."""

    def new_cache(self, batch: int, capacity: int) -> reference.LatentCache:
        return reference.LatentCache(batch, capacity, *_WIDTHS)

    def forward(self, ids: Tensor, cache: Any) -> Tensor:
        parts = [torch.zeros(*ids.shape, width, dtype=torch.float64) for width in _WIDTHS]
        parts[0][..., 0] = ids
        return cache.append(*parts)[0][..., 0].round().long()


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = _Attention()


class _Chain(nn.Module):
    """Logits of each position from every token up to it, in their order; caches, blocks and the
    sizes in `config` as DeepSeek's.
    """

    def __init__(self, vocab: int):
        super().__init__()
        sizes: dict[str, Any] = {
            "num_layers": _LAYERS,
            "d_latent": _WIDTHS[0],
            "d_rope": _WIDTHS[1],
        }
        self.config = replace(small_config(vocab), **sizes)
        self.blocks: Any = nn.ModuleList(_Layer() for _ in range(_LAYERS))
        self.embed = nn.Embedding(vocab, 8)
        self.turn = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, vocab, bias=False)

    def forward(self, ids: Tensor, caches: Sequence | None = None) -> Tensor:
        if ids.ndim != 2:
            raise ValueError(f"ids must be of shape (B, L), got {tuple(ids.shape)}")
        seen = ids
        if caches is not None:
            pairs = zip(self.blocks, caches, strict=True)
            seen = [block.attention(ids, cache) for block, cache in pairs][-1]
        state, states = torch.zeros(len(ids), 8, dtype=torch.float64), []
        for column in 2 * self.embed(seen.T):
            state = torch.tanh(column + 2 * self.turn(state))
            states.append(state)
        return self.head(torch.stack(states[-ids.shape[1] :], dim=1))

    def new_caches(self, batch: int, capacity: int) -> list:
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]


@dataclass(frozen=True)
class _Call:
    """One call of a model: how many tokens per row it was fed, and with which caches."""

    tokens: int
    caches: tuple | None
    graph: bool


class Watched:
    """Before a model in its bases: keeps in `calls` how it was called, in `made` what was asked.

    Its caches have room to spare: who feeds too much gets wrong tokens, and no word of room.
    """

    calls: list[_Call]
    made: list[tuple[int, int]]
    to_spare: int  # positions

    def forward(self, ids: Tensor, caches: Sequence | None = None) -> Tensor:
        ask = "Do ids come first, then caches?"
        came = f"the model must get ids (B, L) first, got {expect.shown(ids)}"
        expect.require(isinstance(ids, Tensor), came, ask)
        own = None if caches is None else _own_caches(caches)
        logits = super().forward(ids, own)  # type: ignore[misc]  # of the model behind it
        self.calls.append(_Call(ids.shape[1], own, logits.requires_grad))
        return logits

    def new_caches(self, batch: int, capacity: int) -> list:
        self.made.append((batch, capacity))
        return super().new_caches(batch, capacity + self.to_spare)  # type: ignore[misc]  # its too

    def forget(self) -> None:
        self.calls, self.made = [], []


def _own_caches(caches: Sequence) -> tuple:
    """The caches, once there is one for each layer, and none twice."""
    expect.require(
        isinstance(caches, Iterable),
        "the model must get as caches the list that model.new_caches makes, and it is no list",
    )
    came = len({id(cache) for cache in caches})
    expect.require(
        len(caches) == came == _LAYERS,
        f"the model must get one cache per layer, {_LAYERS} in all, each its own, got {came}",
        "model.new_caches makes a list of them. Does each layer keep its own keys and values?",
    )
    return tuple(caches)


class _WatchedChain(Watched, _Chain):
    pass


class _WatchedDeepSeek(Watched, reference.DeepSeek):
    pass


def small_config(vocab: int) -> DeepSeekConfig:
    return DeepSeekConfig(
        vocab_size=vocab,
        num_layers=_LAYERS,
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
        made = (
            _WatchedDeepSeek(small_config(self.vocab)) if self.deep else _WatchedChain(self.vocab)
        )
        randomise(made.double(), generator)
        made.to_spare = 200 + self.length
        made.train(not self.deep).forget()
        return made

    def long(self) -> "Text":
        """A prompt longer than any window or cache of a usual size, and one new token."""
        return replace(self, length=_LONG, new=1)

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
