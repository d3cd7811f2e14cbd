"""What slips make of a masked loss, so that a refusal can ask about the one it sees."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d4_deepseek.training.slow_loss import rows_of, slow_loss


def value_slips(logits: Tensor, targets: Tensor, real: Tensor) -> dict[str, float]:
    """The number that each slip makes of the loss, by the question that it calls for."""
    want = float(slow_loss(logits.double(), targets, real))
    each = torch.tensor([[float(x) for x in row] for row in rows_of(logits.double(), targets)])
    rows = [float(row[marks].mean()) for row, marks in zip(each, real, strict=True)]
    last = real & (real.flip(1).cumsum(1).flip(1) == 1)
    shortest = each[:, : max(int(real.sum(dim=1).min()), 1)]
    wide = logits.double()
    chosen = wide.softmax(-1).gather(-1, targets[..., None])[..., 0][real]
    return {
        "Are the logits of padding set to 0, and its loss counted still? Leave its targets out.": (
            float(slow_loss(wide * real[..., None], targets, torch.ones_like(real)))
        ),
        "Do logits and targets lie in the same order, row after row? One of them is transposed.": (
            _order_mixed(wide, targets, real)
        ),
        "Is the sum divided by the real targets, and not by the rows of the batch?": (
            want * int(real.sum()) / len(real)
        ),
        "Is the sum divided by the real targets, and not by the positions of a row?": (
            want * int(real.sum()) / real.shape[1]
        ),
        "Is the target smoothed (`label_smoothing`)? It counts whole.": float(
            F.cross_entropy(wide[real], targets[real], label_smoothing=0.1)
        ),
        "Is the logarithm taken? The loss is minus the log of the target's probability.": float(
            1 - chosen.mean()
        ),
        "Is the logarithm taken of each probability, before the mean?": float(-chosen.mean().log()),
        "Is the loss squared, or is a mean of squares taken?": float((each[real] ** 2).mean()),
        "Does the mean leave out the first position? It has a target as well.": float(
            each[:, 1:][real[:, 1:]].mean()
        ),
        "Does the mean leave out the last position? It has a target as well.": float(
            each[:, :-1][real[:, :-1]].mean()
        ),
        "Are logits and targets shifted once more? They come as they belong together.": float(
            _shifted(wide, targets, real)
        ),
        "Is it the sum? It is divided by how many are real.": want * int(real.sum()),
        "Does the mean run over all targets, padding too?": float(each.mean()),
        "Is the sum over real targets divided by the number of all?": (
            want * int(real.sum()) / real.numel()
        ),
        "Is it a mean of the rows' means? Each real target counts the same, in a long row or a "
        "short one.": sum(rows) / len(rows),
        "Are the marks turned, so that padding is left?": float(each[~real].mean()),
        **({_NOTHING: 0.0} if real.all() else {}),
        "Is it a mean of each position's mean? Each real target counts the same.": _of_positions(
            each, real
        ),
        **_without_steps(wide, targets, real),
        "Is id 0 left out? What is padding, `real` says, and no id.": float(
            each[real & (targets != 0)].mean()
        ),
        "Is it the last real target of each row alone? All real ones count.": float(
            each[last].mean()
        ),
        "Is it the last position of each row alone? All real ones count.": float(
            each[:, -1].mean()
        ),
        "Do the real targets of a row stand together? `real` may have holes.": float(
            each[_spans(real)].mean()
        ),
        "Do the real targets of a row begin it? `real` says which they are.": float(
            each[real.cumprod(dim=1).bool()].mean()
        ),
        "Is it the first row alone? All rows count.": rows[0],
        "Are rows cut to the length of the shortest? Each has its own marks.": float(
            shortest.mean()
        ),
        "Is the sign turned? A loss is above 0.": -want,
        "Are dimensions exchanged by transpose, and not by reshape, which mixes positions and "
        "ids?": _reshaped(logits.double(), targets, real),
        "Is it in bits? The natural logarithm gives nats.": want / 0.6931471805599453,
        "Is it the perplexity? The loss is its logarithm.": math.exp(want),
        "Is a softmax taken before the cross-entropy, which has one?": float(
            slow_loss(logits.double().softmax(-1), targets, real)
        ),
    }


_NOTHING = (
    "It is 0 where every target is real. Are the marks turned, so that only padding counts? Or: "
    "Does what is computed not reach what is returned?"
)


def _of_positions(each: Tensor, real: Tensor) -> float:
    return float(((each * real).sum(dim=0) / real.sum(dim=0).clamp(min=1)).mean())


def _without_steps(logits: Tensor, targets: Tensor, real: Tensor) -> dict[str, float]:
    """Cross-entropies with one of their steps left out, or taken along another dimension."""

    def of(scores: Tensor) -> float:
        return -float(scores.gather(-1, targets[..., None])[..., 0][real].mean())

    return {
        "Is it a probability, where its logarithm is asked for?": of(logits.softmax(-1)),
        "Are the logits taken as they are? A cross-entropy is of log-probabilities.": of(logits),
        "Does the softmax run over the vocabulary, and not over positions?": of(
            logits.log_softmax(1)
        ),
        "Does the softmax run over the vocabulary, and not over rows?": of(logits.log_softmax(0)),
    }


def _reshaped(logits: Tensor, targets: Tensor, real: Tensor) -> float:
    """The loss of logits `(B, L, V)` that were reshaped to `(B, V, L)`."""
    batch, length, vocab = logits.shape
    mixed = F.cross_entropy(logits.reshape(batch, vocab, length), targets, reduction="none")
    return float(mixed[real].mean())


def _order_mixed(logits: Tensor, targets: Tensor, real: Tensor) -> float:
    """The loss where logits are read position by position, and targets row by row."""
    batch, length, vocab = logits.shape
    mixed = logits.transpose(0, 1).reshape(batch, length, vocab)
    return float(F.cross_entropy(mixed[real], targets[real]))


def _shifted(logits: Tensor, targets: Tensor, real: Tensor) -> float:
    """The loss of each position's logits for the next one's target."""
    later = real[:, 1:]
    if not later.any():
        return math.nan
    return float(F.cross_entropy(logits[:, :-1][later], targets[:, 1:][later]))


def _spans(real: Tensor) -> Tensor:
    """All from a row's first real target to its last."""
    return (real.cumsum(1) > 0) & (real.flip(1).cumsum(1).flip(1) > 0)
