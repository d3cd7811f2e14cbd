"""Speculative decoding with V3's extra layer: it drafts a token, the model reads two at a time.

The text is what greedy decoding writes; where the draft was right, two tokens come of one reading
(V3p, section 5.4.3; arXiv 2211.17192 for drafts in general).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Speculation:
    """A text `(1, N)`, prompt included, and how many drafts it took and kept."""

    ids: Int[Tensor, "1 N"]
    drafted: int
    kept: int

    @property
    def acceptance(self) -> float:
        """The share of drafts that were kept; 0.0 without any."""
        return self.kept / self.drafted if self.drafted else 0.0


@torch.no_grad()
def speculate(
    model: Any, prediction: Any, ids: Int[Tensor, "B L"], max_new_tokens: int
) -> Speculation:
    """The prompt and `max_new_tokens` more, as greedy decoding chooses them.

    `model` is a DeepSeek, `prediction` its MultiTokenPrediction. A draft that the model does not
    confirm is forgotten by the caches. Raises a ValueError unless there is one sequence.
    """
    if len(ids) != 1:
        raise ValueError(f"drafts are kept for one sequence at a time, got {len(ids)}")
    end = ids.shape[1] + max_new_tokens
    caches = model.new_caches(1, end + 1)  # a draft may stand behind the last token
    drafts = prediction.block.attention.new_cache(1, end + 1)
    drafted, kept = 0, 0
    hidden = model.hidden(ids, caches)
    text = torch.cat([ids, _best(model, hidden[:, -1:])], dim=1)
    while text.shape[1] < end:
        draft = _drafted(model, prediction, hidden, text, drafts)
        hidden = model.hidden(torch.cat([text[:, -1:], draft], dim=1), caches)
        best = _best(model, hidden)  # what follows the newest token, and what follows the draft
        right = bool(best[0, 0] == draft[0, 0])
        drafted, kept = drafted + 1, kept + right
        if not right:
            hidden, best = hidden[:, :1], best[:, :1]
            for cache in caches:
                cache.truncate(len(cache) - 1)
        text = torch.cat([text, best], dim=1)
    return Speculation(text[:, :end], drafted, kept)


def _best(model: Any, hidden: Float[Tensor, "1 L D"]) -> Int[Tensor, "1 L"]:
    return model.head(hidden).argmax(dim=-1)


def _drafted(
    model: Any, prediction: Any, hidden: Float[Tensor, "1 L D"], text: Tensor, cache: Any
) -> Int[Tensor, "1 one"]:
    """The token after the newest one, guessed from states that `prediction` has not seen yet."""
    following = model.embed(text[:, -hidden.shape[1] :])
    return _best(model, prediction(hidden, following, cache)[:, -1:])
