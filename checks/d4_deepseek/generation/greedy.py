"""What comes at temperature 0, and what usual slips make of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from checks.d4_deepseek.generation.generation_cases import Text
from checks.grading import expect
from checks.grading.result import Built


def greedy(
    model: Built, ids: Tensor, new: int, pick: Callable = lambda logits: logits[:, -1].argmax(1)
) -> Tensor:
    """The specification: the whole text through the model each time, the best token behind it."""
    with torch.no_grad():
        for _ in range(new):
            ids = torch.cat([ids, pick(model(ids))[:, None]], dim=1)
    return ids


def expect_greedy_text(got: Tensor, case: Text, ids: Tensor, new: int, when: str) -> None:
    """Raise Wrong unless the text goes on with the best tokens; the first that differs is shown."""
    model = case.model()
    want = greedy(model, ids, new)
    off = (got != want).nonzero()
    if not len(off):
        return
    picks = {
        "Is it the last position whose logits are taken?": lambda logits: logits[:, 0].argmax(1),
        "Is it the last position whose logits are taken, and not the one before it?": lambda x: x[
            :, -2 if x.shape[1] > 1 else -1
        ].argmax(1),
        "Are the logits averaged over positions? The last position's are taken.": lambda x: x.mean(
            1
        ).argmax(1),
        "Does each row take its own token, and not the first row's?": lambda x: (
            x[:1, -1].argmax(1).expand(len(x))
        ),
        "Is it the best token, and not the second best?": lambda x: x[:, -1].topk(2).indices[:, 1],
        "Is it the best token, at temperature 0?": lambda logits: logits[:, -1].argmin(1),
    }
    asks = [ask for ask, pick in picks.items() if torch.equal(got, greedy(model, ids, new, pick))]
    if not asks and torch.equal(got, _alone(model, ids, new)):
        asks = ["Does the model see every token before the new one, and not the newest alone?"]
    if torch.equal(got, _last_twice(model, ids, new)):
        asks.insert(0, "Does each token go in once? The prompt's last one goes in with the prompt.")
    row, place = off[off[:, 1].argmin()].tolist()
    first = "Does the whole prompt go in, and does temperature 0 reach the draw?"
    seen = "Does each step see every token so far, once and in order?"
    expect.require(
        False,
        f"at temperature 0{when} new token {place + 1 - ids.shape[1]} of row {row} must be "
        f"{int(want[row, place])}, got {int(got[row, place])}",
        expect.joined(asks) if asks else seen if place > ids.shape[1] else first,
    )


def _last_twice(model: Built, ids: Tensor, new: int) -> Tensor:
    """The slip in which the prompt's last token goes in once more."""
    longer = greedy(model, torch.cat([ids, ids[:, -1:]], dim=1), new)
    return torch.cat([ids, longer[:, ids.shape[1] + 1 :]], dim=1)


def _alone(model: Built, ids: Tensor, new: int) -> Tensor:
    """The slip in which each later step sees only the newest token."""
    fed = ids
    for _ in range(new):
        fed = greedy(model, fed, 1)[:, -1:]
        ids = torch.cat([ids, fed], dim=1)
    return ids
