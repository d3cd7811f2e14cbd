"""What usual slips make of a training, by the question that each calls for."""

from collections.abc import Callable

import torch
from torch import Tensor

from checks.d4_deepseek.training.training_cases import (
    STEPS,
    Gradients,
    Training,
    Variant,
    cut,
    groups,
    norm_of,
)


def _always_one(grads: Gradients) -> Gradients:
    return [grad / norm_of(grads) for grad in grads]


def _cut_to(most: float) -> Callable[[Gradients], Gradients]:
    """Cut where the norm is above another number than 1."""
    return lambda grads: [grad * min(1.0, most / float(norm_of(grads))) for grad in grads]


_OTHER_NORMS = {
    f"Is the gradient cut to norm 1, and not to {norm:g}?": Variant(clip=_cut_to(norm))
    for norm in (0.1, 0.5, 2.0, 5.0)
}


def _none(grads: Gradients) -> Gradients:
    return [0 * grad for grad in grads]


SHORT_SLIPS = {
    "Is a gradient shorter than 1 left as it is?": Variant(clip=_always_one),
    "Does backward start from the mean loss, and not from the sum?": Variant(clip=_always_one),
    "Does backward start from the loss as it is, and not from a clamped one?": Variant(clip=_none),
    **_OTHER_NORMS,
}


def _by_largest(grads: Gradients) -> Gradients:
    """In the maximum norm."""
    most = max(float(grad.abs().max()) for grad in grads)
    return [grad / max(1.0, most) for grad in grads]


def _by_group(*clips: Callable[[Gradients], Gradients]) -> Callable[[Gradients], Gradients]:
    """Each group of the optimiser's clipped in its own way, in the order of the weights."""

    def clipped(grads: Gradients) -> Gradients:
        parts = [iter(clip(part)) for clip, part in zip(clips, groups(grads), strict=True)]
        return [next(parts[grad.ndim > 1]) for grad in grads]

    return clipped


CLIP_SLIPS = {
    "Where is the gradient clipped, after backward and before the step?": Variant(clip=list),
    **_OTHER_NORMS,
    "Is it the Euclidean norm that is held at 1, and not the largest number?": Variant(
        clip=_by_largest
    ),
    "Are embedding and head left out of the clipping? One norm counts all parameters.": Variant(
        clip=lambda grads: [grads[0], *cut(grads[1:-2]), *grads[-2:]]
    ),
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
        step=lambda i, count: STEPS[count]
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
    "Does it move in the batch's own turn, and not when the next one comes?": Variant(times=0),
    "Does it go up where an expert has too few?": Variant(times=-1),
    **_IN_TURN,
}

SCHEDULE_SLIPS = {
    "Is bias_step() asked again for each batch?": Variant(step=lambda i, count: STEPS[0]),
    "Does batch i move the bias by its own step alone, and not by the sum of all so far?": Variant(
        step=lambda i, count: sum(STEPS[: i + 1])
    ),
    **_IN_TURN,
}


def raised(case: Training) -> dict[str, str]:
    """What is asked where an answer raises an error that reads so."""
    asks = {
        "'SwiGLU' object": (
            "Which layers have experts? The `ffn` of a dense one is no more than a SwiGLU."
        ),
        "only implemented on integer and Boolean": (
            "Does masked_loss get logits, targets and marks, in this order?"
        ),
        "'Watched' object is not iterable": "Are the model's parameters meant, all of them?",
    }
    layers = [n for n in case.experts if n]
    if len({*layers}) == 2:
        one, other = (rf"\({n}\)" for n in layers)
        asks[f"tensor a ({one}|{other}) must match the size of tensor b ({one}|{other})"] = (
            f"Layers here have {layers[0]} and {layers[1]} experts: does each layer's bias move by "
            "its own load?"
        )
    return asks


def why_other_ids(got: Tensor, i: int, fed: list[Tensor]) -> str:
    """The question to what went in for batch i; `fed` is what must go in for each batch."""
    if i and torch.equal(got, fed[i - 1]):
        return (
            f"These are the ids of batch {i - 1} again: is there a second forward pass? One per "
            "batch gives loss, gradient and load."
        )
    if got.ndim == 2 and got.shape[1] == fed[i].shape[1] and len(got) < len(fed[i]):
        return "Do all rows of the batch go in?"
    return "Which tokens have a token behind them? Those go in, once per batch."


def why_other_count(got: int, batches: list[tuple[Tensor, Tensor]]) -> str:
    """The question to a list that does not hold one loss for each batch."""
    if got == 1:
        return "Is the `return` inside the loop? Or: Is one mean taken of all? Each has its own."
    if got == sum(len(ids) for ids, _ in batches) > 0:
        return f"{got} is the number of all rows: does each batch go in whole?"
    if got == 2 * len(batches):
        return f"{got} is twice {len(batches)}: are the batches gone through once, with one loss?"
    return "Is one appended per batch?"


def why_some_unmoved(weights: Tensor, case: Training) -> str:
    """The question where some parts of the model did not move, and others did."""
    model, at, moved = case.model(1.0), 0, dict[str, bool]()
    for name, weight in model.named_parameters():
        part, came = name.split(".")[0], weights[at : at + weight.numel()]
        moved[part] = moved.get(part, False) or not torch.equal(came, weight.detach().flatten())
        at += weight.numel()
    still = [part for part, is_moved in moved.items() if not is_moved]
    return f"Do all parts learn? These did not move: {', '.join(still)}." if still else ""
