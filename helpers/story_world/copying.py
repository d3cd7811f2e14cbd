"""Which of the words that its story has told before a model copies right, by sort of word.

A model takes ids `(B, L)` and returns logits `(B, L, V)`. Letters: W the words of a sort.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.model.device import device_of
from helpers.story_world.stories import COLOURS, NAMES, PLACES, THINGS

WORDS = {"names": NAMES, "places": PLACES, "things": THINGS, "colours": COLOURS}
AT_ONCE = 100  # rows

Sorts = dict[str, Int[Tensor, " W"]]


def word_tokens(token_to_id: Callable[[str], int | None]) -> Sorts:
    """The tokens of each sort's words, as they stand after a space.

    `token_to_id` is a byte-level tokenizer's. Raises a ValueError for a word of several tokens.
    """
    sorts = {sort: [token_to_id(f"Ġ{word}") for word in words] for sort, words in WORDS.items()}
    for sort, tokens in sorts.items():
        if None in tokens:
            word = WORDS[sort][tokens.index(None)]
            raise ValueError(f"every word must be one token, and {word!r} takes several")
    return {sort: torch.tensor(tokens) for sort, tokens in sorts.items()}


def told_before(ids: Int[Tensor, "B L"], words: Int[Tensor, " W"]) -> Bool[Tensor, "B L"]:
    """Which tokens are one of `words` and stand earlier in their row, too."""
    earlier = (ids[:, :, None] == ids[:, None, :]).tril(-1).any(dim=-1)
    return torch.isin(ids, words) & earlier


@torch.no_grad()
def right_copies(model: nn.Module, ids: Int[Tensor, "B L"], sorts: Sorts) -> dict[str, float]:
    """Of the words told before, the share that `model` gives more than any other of their sort.

    The model reads the true words before each, and only the sort's words are compared: what it
    makes of the order of a sentence does not count, nor does a newcomer, whom nobody can know.
    """
    right: dict[str, list[Tensor]] = {sort: [] for sort in sorts}
    for part in ids.split(AT_ONCE):
        logits, targets = model(part[:, :-1].to(device_of(model))).cpu(), part[:, 1:]
        for sort, words in sorts.items():
            best = words[logits[..., words].argmax(dim=-1)]
            right[sort].append((best == targets)[told_before(part, words)[:, 1:]])
    return {sort: float(torch.cat(found).double().mean()) for sort, found in right.items()}


@torch.no_grad()
def told_loss(model: nn.Module, ids: Int[Tensor, "B L"], sorts: Sorts) -> float:
    """The mean loss, in nats, of the words told before, of all sorts together."""
    words, losses = torch.cat(list(sorts.values())), []
    for part in ids.split(AT_ONCE):
        logits, targets = model(part[:, :-1].to(device_of(model))).cpu(), part[:, 1:]
        told = told_before(part, words)[:, 1:]
        losses.append(F.cross_entropy(logits[told], targets[told], reduction="none"))
    return float(torch.cat(losses).mean())


def guessed_copies(ids: Int[Tensor, "B L"], sorts: Sorts) -> dict[str, float]:
    """The share that a guess gets right that is drawn from the sort's words told so far."""
    return {sort: _guessed(ids, words) for sort, words in sorts.items()}


def _guessed(ids: Int[Tensor, "B L"], words: Int[Tensor, " W"]) -> float:
    is_new = torch.isin(ids, words) & ~told_before(ids, words)
    told = is_new.cumsum(dim=1)  # different words so far; a copy adds none
    return float((1 / told[told_before(ids, words)].double()).mean())
