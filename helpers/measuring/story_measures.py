"""How good a story model is: loss and balance on held-out stories, coherence of its own.

A model takes ids `(B, L)` and returns logits `(B, L, V)`. Letters: E = num_experts, P prompt.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.story_rows import StoryRows
from helpers.measuring.traffic import layers_of
from helpers.model.device import device_of
from helpers.story_world.coherence import coherence
from helpers.story_world.stories import NAMES

Generate = Callable[..., Int[Tensor, "B N"]]
SAMPLED_AT_ONCE = 100  # rows


@dataclass(frozen=True)
class HeldOut:
    """Measured on the real tokens of held-out stories: loss in nats per token, each layer's load.

    `told` is the loss of names that the story has told before: a model that cannot copy guesses.
    """

    loss: float
    told: float
    loads: tuple[Int[Tensor, " E"], ...]

    @property
    def cvs(self) -> list[float]:
        """The coefficient of variation of each layer's load."""
        loads = [load.double() for load in self.loads]
        return [float(load.std(correction=0) / load.mean()) for load in loads]


@torch.no_grad()
def held_out(model: nn.Module, rows: StoryRows, count: int = 400) -> HeldOut:
    """The losses and the loads on the first `count` held-out stories."""
    ids, real = rows.held_ids[:count], rows.held_real[:count]
    losses, loads = [], []
    for part, kept in zip(ids.split(SAMPLED_AT_ONCE), real.split(SAMPLED_AT_ONCE), strict=True):
        logits, targets = model(part[:, :-1].to(device_of(model))).cpu(), part[:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses.append(loss.view(targets.shape))
        loads.append([_load(layer, kept[:, :-1]) for layer in layers_of(model)])
    loss, told = torch.cat(losses), names_told(rows, ids)[:, 1:]
    summed = tuple(torch.stack(layer).sum(dim=0) for layer in zip(*loads, strict=True))
    return HeldOut(float(loss[real[:, 1:]].mean()), float(loss[told].mean()), summed)


def names_told(rows: StoryRows, ids: Int[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """Which tokens are a name that occurs earlier in its row; names of one token only."""
    found = [rows.tokenizer.token_to_id(f"Ġ{name}") for name in NAMES]
    is_name = torch.isin(ids, torch.tensor([i for i in found if i is not None], device=ids.device))
    earlier = (ids[:, :, None] == ids[:, None, :]).tril(-1).any(dim=-1)
    return is_name & earlier


def _load(layer: Any, real: Bool[Tensor, "B L"]) -> Int[Tensor, " E"]:
    rows = real.reshape(-1).repeat_interleave(len(layer.last_experts) // real.numel())
    return torch.bincount(layer.last_experts.cpu()[rows].flatten(), minlength=len(layer.experts))


def bigram_loss(rows: StoryRows) -> float:
    """The loss of a table of token pairs, counted on the training stories, in nats per token.

    It is measured on held-out tokens. The counts after each token are smoothed by one occurrence,
    shared out by the frequency of the next token.
    """
    size = rows.vocab_size
    real = rows.real[:, 1:]
    pairs = rows.ids[:, :-1][real] * size + rows.ids[:, 1:][real]
    counts = torch.bincount(pairs, minlength=size * size).view(size, size).double()
    alone = (counts.sum(0) + 1) / (counts.sum() + size)
    table = (counts + alone) / (counts.sum(1, keepdim=True) + 1)
    held = rows.held_real[:, 1:]
    return float(-table[rows.held_ids[:, :-1][held], rows.held_ids[:, 1:][held]].log().mean())


def sample_stories(
    model: nn.Module,
    rows: StoryRows,
    generate: Generate,
    count: int,
    temperature: float = 0.8,
    prompt: str = "",
) -> list[str]:
    """`count` stories that the model writes, each cut off at its end mark."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    length = rows.ids.shape[1]
    texts: list[str] = []
    while len(texts) < count:
        ids = rows.prompt(prompt, min(SAMPLED_AT_ONCE, count - len(texts)))
        room = max(length - ids.shape[1], 1)
        texts += rows.texts(
            generate(model, ids.to(device_of(model)), room, temperature=temperature)
        )
    return texts


@dataclass(frozen=True)
class Scores:
    """Of sampled stories: how many, the share that is coherent, how many are distinct, how many
    are copies from the training set, and what is wrong with the others, most frequent first."""

    count: int
    coherent: float
    distinct: int
    copied: int
    problems: dict[str, int]


def story_scores(texts: Sequence[str], rows: StoryRows) -> Scores:
    """The scores of sampled `texts`; `helpers.story_world.coherence` decides which are coherent."""
    judged = [coherence(text) for text in texts]
    kinds = Counter(found.problems[0].partition(":")[0] for found in judged if not found)
    known = {story.text for story in rows.train}
    return Scores(
        len(texts),
        sum(map(bool, judged)) / len(texts),
        len(set(texts)),
        sum(text in known for text in texts),
        dict(kinds.most_common()),
    )
