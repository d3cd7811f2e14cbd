"""What a whole model must compute from its parts, and what usual slips make of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from checks.d4_deepseek.cases import Deep
from checks.d4_deepseek.parts import Part, true_norm
from checks.grading.result import Built
from helpers.model.llama import RMSNorm


@dataclass(frozen=True)
class Stack:
    """What a model is made of; a field replaced is a slip."""

    embed: Any
    blocks: Sequence[Part]
    norm: Part
    head: Part

    def __call__(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.hidden(ids)))

    def bound(self, ids: Tensor) -> Callable[[], Tensor]:
        return lambda: self(ids)

    def hidden(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return x


def _normed_by_default(norm: Any, x: Tensor) -> Tensor:
    """RMSNorm with the weight of `norm` and the epsilon that nobody chose."""
    return F.rms_norm(x, norm.weight.shape, norm.weight, RMSNorm(1).eps)


def true_stack(model: Built, case: Deep) -> Stack:
    norm = true_norm(model.norm, case.config)
    return Stack(model.embed, list(model.blocks), norm, model.head)


def slips_of_stack(true: Stack, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    blocks = list(true.blocks)
    normed = [lambda x, block=block: true.norm(block(x)) for block in blocks]

    def through(*blocks: Part) -> Callable[[], Tensor]:
        return replace(true, blocks=blocks).bound(ids)

    def summed() -> Tensor:
        x = true.embed(ids)
        return true.head(true.norm(sum((block(x) - x for block in blocks), x)))

    return {
        "Do the blocks come in their order, the first one first?": through(*blocks[::-1]),
        "Does x pass every block, the first too?": through(*blocks[1:]),
        "Does x pass every block, the last too?": through(*blocks[:-1]),
        "Does each block get the output of the block before it?": through(blocks[-1]),
        "Does x pass every block?": through(blocks[0]),
        "Does x pass the blocks at all?": through(),
        "Is every block a different one?": through(*[blocks[0]] * len(blocks)),
        "Does x pass every block once?": through(*[b for block in blocks for b in (block, block)]),
        "Does x pass all blocks once?": through(*blocks, *blocks),
        "Does each block get the output of the block before it, and not the embedding?": summed,
        "Is x added to the output of a block? Its residuals are inside.": through(
            *[lambda x, block=block: x + block(x) for block in blocks]
        ),
        "Is the mean of x and the block's output taken? The output alone goes on.": through(
            *[lambda x, block=block: (x + block(x)) / 2 for block in blocks]
        ),
        "Is x added behind the last norm? The norm's output is the end.": lambda: true.head(
            true.norm(true.hidden(ids)) + true.hidden(ids)
        ),
        "Does anything come on top of what the last block gives, such as the embedding again? Its "
        "output alone goes into the last norm.": lambda: true.head(
            true.norm(true.hidden(ids) + true.embed(ids))
        ),
        "Is the last norm used once?": lambda: replace(
            true, norm=lambda x: true.norm(true.norm(x))
        )(ids),
        "Is the last norm made with config.norm_eps?": lambda: replace(
            true, norm=partial(_normed_by_default, true.norm)
        )(ids),
        "Does the last norm come once, behind all blocks, and not behind each?": through(*normed),
        "Does the last norm come behind all blocks, and not behind each?": lambda: true.head(
            replace(true, blocks=normed).hidden(ids)
        ),
        "Does the last norm come behind the blocks, and not before them?": lambda: replace(
            true, embed=lambda ids: true.norm(true.embed(ids)), norm=_plain
        )(ids),
        "Is the embedding normed? Each block has its own norms.": lambda: replace(
            true, embed=lambda ids: true.norm(true.embed(ids))
        )(ids),
        **_slips_of_ends(true, ids),
    }


def _slips_of_ends(true: Stack, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    width = true.embed(ids).shape[-1]

    def scaled(by: float) -> Callable[[], Tensor]:
        return lambda: replace(true, embed=lambda ids: by * true.embed(ids))(ids)

    return {
        "Are the logits raw? No softmax belongs into the model.": lambda: true(ids).softmax(-1),
        "Are the logits raw? No log-softmax belongs into the model.": lambda: F.log_softmax(
            true(ids), dim=-1
        ),
        "Does the norm come before the head, and not behind it?": lambda: _normed_logits(true, ids),
        "Is the last norm there, before the head?": replace(true, norm=_plain).bound(ids),
        "Does the head of its own make the logits, and not the embedding?": lambda: (
            true.norm(true.hidden(ids)) @ true.embed.weight.T
        ),
        "Is the embedding scaled? It goes into the first block as it is.": scaled(width**0.5),
        "Are the logits scaled? The head's output is what is asked for.": lambda: (
            true(ids) / width**0.5
        ),
    }


def _normed_logits(true: Stack, ids: Tensor) -> Tensor:
    logits = true.head(true.hidden(ids))
    return F.rms_norm(logits, logits.shape[-1:], eps=getattr(true.norm, "eps", None))


def _plain(x: Tensor) -> Tensor:
    return x
