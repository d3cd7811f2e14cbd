"""What usual slips make of a training, by the question that each calls for."""

from collections.abc import Callable

import torch
from torch import Tensor

from checks.d4_deepseek.training.training_cases import Gradients, Variant, cut, groups, norm_of


def _always_one(grads: Gradients) -> Gradients:
    return [grad / norm_of(grads) for grad in grads]


def _cut_to(most: float) -> Callable[[Gradients], Gradients]:
    """Cut where the norm is above another number than 1."""
    return lambda grads: [grad * min(1.0, most / float(norm_of(grads))) for grad in grads]


_OTHER_NORMS = {
    f"Is the gradient cut to norm 1, and not to {norm:g}?": Variant(clip=_cut_to(norm))
    for norm in (0.1, 0.5, 2.0, 5.0)
}

SHORT_SLIPS = {
    "Is a gradient shorter than 1 left as it is?": Variant(clip=_always_one),
    **_OTHER_NORMS,
}


def _by_group(*clips: Callable[[Gradients], Gradients]) -> Callable[[Gradients], Gradients]:
    """Each group of the optimiser's clipped in its own way, in the order of the weights."""

    def clipped(grads: Gradients) -> Gradients:
        parts = [iter(clip(part)) for clip, part in zip(clips, groups(grads), strict=True)]
        return [next(parts[grad.ndim > 1]) for grad in grads]

    return clipped


CLIP_SLIPS = {
    "Where is the gradient clipped, after backward and before the step?": Variant(clip=list),
    **_OTHER_NORMS,
    "Is each number clipped? It is the norm of them all.": Variant(
        clip=lambda grads: [grad.clamp(-1, 1) for grad in grads]
    ),
    "Is each weight's gradient clipped by itself? One norm counts them all.": Variant(
        clip=lambda grads: [cut([grad])[0] for grad in grads]
    ),
    "Is each group of the optimiser's clipped by itself? One norm counts them all.": Variant(
        clip=_by_group(cut, cut)
    ),
    "Is only the optimiser's first group clipped? One norm counts them all.": Variant(
        clip=_by_group(cut, list)
    ),
}

LEFT_SLIPS = {
    "Do the gradients of the batch before stay? They add up until they are zeroed.": Variant(
        adds_up=True
    )
}


def _of_fed(mark: Callable[[Tensor], Tensor]) -> Variant:
    """With these marks for the N - 1 tokens that went in."""
    return Variant(marks=lambda real: mark(real)[:, : real.shape[1] - 1])


_IN_TURN = {
    "Is each batch used before the next is asked for? The schedule goes on between them.": Variant(
        at=lambda i, count: count
    )
}

BIAS_SLIPS = {
    "Does padding steer?": _of_fed(torch.ones_like),
    "Which tokens went in, those of real[:, :-1] or of real[:, 1:]?": _of_fed(
        lambda real: real[:, 1:]
    ),
    "Are the marks turned, so that only padding steers?": _of_fed(lambda real: ~real),
    "Are the marks (B, L), row by row as the ids are, and not position by position?": Variant(
        marks=lambda real: real[:, :-1].T
    ),
    "Are the marks cut to N - 1 in each row, and not once they are flat?": Variant(
        marks=lambda real: real.flatten()[: real[:, 1:].numel()]
    ),
    "Is it moved once per batch?": Variant(times=2),
    "Does it go up where an expert has too few?": Variant(times=-1),
    **_IN_TURN,
}

SCHEDULE_SLIPS = {
    "Is bias_step() asked again for each batch?": Variant(at=lambda i, count: 0),
    **_IN_TURN,
}
