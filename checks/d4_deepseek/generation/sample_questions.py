"""What is asked about tokens that should not have come."""

import torch
from torch import Tensor

from checks.grading import expect


def expect_one_id(got: object, logits: Tensor, name: str) -> None:
    """Raise Wrong if the best logits came, or more than one token for each row."""
    if not isinstance(got, Tensor) or len(got.shape) < 1 or len(got) != len(logits):
        return
    is_plain = got.dtype == logits.dtype and got.device == logits.device
    expect.require(
        not (is_plain and got.ndim == 1 and torch.equal(got, logits.amax(dim=-1))),
        f"{name} must be one id for each row, got the largest logit of each row itself",
        "The id is its place in the row.",
    )
    expect.require(
        got.is_floating_point() or got.ndim != 2 or got.shape[1] < 2,
        f"{name} must be an int64 tensor of shape {(len(logits),)}, got {expect.shown(got)}",
        "Is more than one token drawn for a row?",
    )


def why_other_ids(got: object, logits: Tensor) -> str:
    """The question to something else than one id for each row."""
    batch, vocab = logits.shape
    if isinstance(got, Tensor) and got.shape == (vocab,) != (batch,):
        return "Is the best looked for over the rows, and not over a row's tokens?"
    return "It is one id for each row."


def why_not_best(got: Tensor, rows: int) -> str:
    """The question to tokens at temperature 0; every `rows` of them belong to the same logits."""
    copies = got.view(-1, rows)
    if torch.equal(copies, copies[:1].expand_as(copies)):
        return "Where in its row is the largest logit?"
    return (
        "Equal rows got other tokens: is one drawn at temperature 0, by a small temperature or "
        "another in its place? There nothing is drawn, and the best is taken."
    )


def why_impossible(got: Tensor, logits: Tensor) -> str:
    """The question to tokens that cannot come; the last of each row can."""
    if (got == got[0]).all():
        return "All rows got one token: is there one draw for all? Each row has its own."
    possible = logits.isfinite().sum(dim=-1)
    if (got < possible).all() and (possible < logits.shape[1]).all():
        return "Is it the place in a sorted row that comes back, and not the token's id?"
    return (
        "Is each row drawn by its own probabilities, with nothing added to them? Or: Is a softmax "
        "taken twice? It gives every token something."
    )
