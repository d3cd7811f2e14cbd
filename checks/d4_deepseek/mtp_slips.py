"""What slips of V3's extra layer make, so that a refusal can ask about the one it sees."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d4_deepseek.cases import Deep
from checks.d4_deepseek.parts import Part, true_norm
from checks.grading.result import Built


@dataclass(frozen=True)
class Prediction:
    """What the layer is made of; a field replaced is a slip."""

    embed_norm: Part
    hidden_norm: Part
    join: Part
    block: Part
    norm: Part

    def joined(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        return self.join(torch.cat([self.embed_norm(embedding), self.hidden_norm(hidden)], dim=-1))

    def __call__(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        return self.norm(self.block(self.joined(hidden, embedding)))


def true_prediction(layer: Built, case: Deep) -> Prediction:
    names = ("embed_norm", "hidden_norm", "norm")
    norms = {name: true_norm(getattr(layer, name), case.config) for name in names}
    return Prediction(join=layer.join, block=layer.block, **norms)


def slips_of_epsilon(
    layer: Built, true: Prediction, *inputs: Tensor
) -> dict[str, Callable[[], Tensor]]:
    """What comes of the norms as the layer made them, where those have another epsilon."""
    norms = {name: getattr(layer, name) for name in ("embed_norm", "hidden_norm", "norm")}
    return {
        "Are all three norms made with config.norm_eps?": lambda: replace(true, **norms)(*inputs)
    }


def _plain(x: Tensor) -> Tensor:
    return x


def _slips_of_joining(
    true: Prediction, hidden: Tensor, embedding: Tensor
) -> dict[str, Callable[[], Tensor]]:
    e, h = true.embed_norm, true.hidden_norm

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(hidden, embedding)

    def side_by_side(first: Tensor, second: Tensor) -> Callable[[], Tensor]:
        return lambda: true.norm(true.block(true.join(torch.cat([first, second], dim=-1))))

    def shifted(by: int, which: int) -> Callable[[], Tensor]:
        moved = [hidden, embedding]
        moved[which] = moved[which].roll(by, dims=1)
        return lambda: true(*moved)

    one_further = "The caller has put what belongs together at the same position."
    return {
        "Which comes first, side by side? The embedding does.": side_by_side(
            h(hidden), e(embedding)
        ),
        "Do all numbers of the embedding come before those of the hidden state, and not in turn?": (
            lambda: true.norm(
                true.block(true.join(torch.stack([e(embedding), h(hidden)], dim=-1).flatten(-2)))
            )
        ),
        "Does each of the two have its own norm?": changed(embed_norm=h, hidden_norm=e),
        "Does embed_norm go to the embedding alone?": changed(hidden_norm=e),
        "Does hidden_norm go to the hidden state alone?": changed(embed_norm=h),
        "Does forward take hidden first, then next_embedding, and does the embedding go through "
        "its own norm, before the hidden state?": side_by_side(e(hidden), h(embedding)),
        "Are both normed before they are joined?": changed(embed_norm=_plain, hidden_norm=_plain),
        "Is the embedding normed?": changed(embed_norm=_plain),
        "Is the hidden state normed?": changed(hidden_norm=_plain),
        "Is the last norm there, behind the block?": changed(norm=_plain),
        "Does the last norm come behind the block, and not before it?": changed(
            block=true.norm, norm=true.block
        ),
        "Is the last norm used once?": changed(norm=lambda x: true.norm(true.norm(x))),
        "Is the hidden state added once more? `join` alone brings it in.": changed(
            block=lambda x: true.block(x + hidden)
        ),
        "Is the embedding added once more? `join` alone brings it in.": changed(
            block=lambda x: true.block(x + embedding)
        ),
        "Is the hidden state added behind the block? `join` alone brings it in.": changed(
            block=lambda x: true.block(x) + hidden
        ),
        "Is what comes in added to the output? The last norm is the end.": lambda: (
            true(hidden, embedding) + hidden
        ),
        "Is what `join` returns normed by hidden_norm? Both norms come before it.": (
            lambda: true.norm(true.block(h(true.joined(hidden, embedding))))
        ),
        "Is what `join` returns normed? Both norms come before it.": lambda: true.norm(
            true.block(e(true.joined(hidden, embedding)))
        ),
        "Is the hidden state normed by hidden_norm, and not by the last norm?": changed(
            hidden_norm=true.norm
        ),
        "Is there an activation behind `join`? It is one linear map.": changed(
            block=lambda x: true.block(F.silu(x))
        ),
        "Is each of the two normed by itself, before they are joined?": lambda: true.norm(
            true.block(true.join(_normed_as_one(true, hidden, embedding)))
        ),
        "Are the two added, where they are to lie side by side?": side_by_side(
            e(embedding) + h(hidden), e(embedding) + h(hidden)
        ),
        "Does the embedding come in, in the first half? It is the hidden state, by embed_norm.": (
            side_by_side(e(hidden), h(hidden))
        ),
        "Does the hidden state come in, in the second half? It is the embedding, by hidden_norm.": (
            side_by_side(e(embedding), h(embedding))
        ),
        "Does the embedding come in?": side_by_side(h(hidden), h(hidden)),
        "Does the hidden state come in?": side_by_side(e(embedding), e(embedding)),
        f"Is the embedding moved by a position? {one_further}": shifted(-1, 1),
        "Is next_embedding moved by a position? It is already that of the next token.": lambda: (
            true(hidden, torch.cat([embedding[:, 1:], embedding[:, -1:]], dim=1))
        ),
        "Is next_embedding moved by a position and filled up with zeros? It is already that of the "
        "next token.": lambda: true(hidden, F.pad(embedding[:, 1:], (0, 0, 0, 1))),
        f"Is the embedding moved on by a position? {one_further}": shifted(1, 1),
        f"Is the hidden state moved by a position? {one_further}": shifted(-1, 0),
        f"Is the hidden state moved on by a position? {one_further}": shifted(1, 0),
    }


def _normed_as_one(true: Prediction, hidden: Tensor, embedding: Tensor) -> Tensor:
    """Both side by side, by one root mean square for the two."""
    both = torch.cat([embedding, hidden], dim=-1)
    norms: list[Any] = [true.embed_norm, true.hidden_norm]
    weight = torch.cat([norm.weight for norm in norms])
    return F.rms_norm(both, weight.shape, weight, norms[0].eps)


def slips_of_prediction(true: Prediction, hidden: Tensor, embedding: Tensor) -> dict:
    both = true.joined(hidden, embedding)
    norm, block = true.norm, true.block
    join: Any = true.join
    half = join.weight.chunk(2, dim=1)[0]
    summed = true.embed_norm(embedding) + true.hidden_norm(hidden)
    return {
        "Are the two added, where `join` has a half of its weight for each?": lambda: norm(
            block(F.linear(summed, half))
        ),
        **_slips_of_joining(true, hidden, embedding),
        "Where does the block come in?": lambda: norm(both),
        "Does the block get both, joined?": lambda: norm(block(hidden)),
        "Does the block come behind `join`, and not before it?": lambda: norm(
            replace(true, hidden_norm=lambda x: block(true.hidden_norm(x))).joined(
                hidden, embedding
            )
        ),
        "Is the input of the block added to its output? Its residuals are inside.": lambda: norm(
            both + block(both)
        ),
        "Is the block used once?": lambda: norm(block(block(both))),
        "Does the block come behind `join`, and the norm behind the block?": lambda: block(
            norm(both)
        ),
        "Are positions and rows of the batch exchanged before the block?": lambda: norm(
            block(both.transpose(0, 1)).transpose(0, 1)
        ),
    }
