"""What slips of D2.1 compute, each under the question about it: other sums, other experts."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

Slips = dict[str, Callable[[], Tensor]]

EACH_A_SWIGLU = (
    "Is each shared expert a SwiGLU of x itself, silu(gate x) · (up x) and then down, and is the "
    "output their plain sum?"
)


def why_other_count(held: int, want: int, num_shared: int, d_model: int) -> str:
    """The question that a wrong number of weights calls for."""
    width, rest = divmod(held, 3 * d_model)
    if held == 0:
        return (
            "Does the constructor make the experts, as `self.experts`? A Python list of them does "
            "not count: PyTorch does not look into one."
        )
    if held == want // num_shared:
        return (
            "Those are one expert's: is one module listed several times, made only once, or do the "
            "others stand in a Python list, into which PyTorch does not look?"
        )
    if rest == 0:
        return f"Those are networks of width {width} together: is it num_shared × expert_dim?"
    if held > want:
        return "Which other weights are there? The experts have no bias, and their sum has no gate."
    return (
        "Which are missing? An expert has three matrices, gate, up and down, and PyTorch does not "
        "look into a Python list."
    )


def swiglu(units: list, x: Tensor, activation: Callable = F.silu) -> Tensor:
    """The sum over hidden units, each given as its rows of gate, up and down."""
    parts = [torch.outer(activation(x @ gate) * (x @ up), down) for gate, up, down in units]
    return torch.stack(parts).sum(0)


def sum_slips(want: Tensor, first: Tensor, tokens: Tensor, num_shared: int) -> Slips:
    """Of the sum of `num_shared` experts, of which `first` is the output of the first."""
    return {
        "Is it a mean over the shared experts? They are summed, unweighted.": lambda: (
            want / num_shared
        ),
        "Is the sum divided by a root? It is a plain sum.": lambda: want / num_shared**0.5,
        "Is only the first shared expert used?": lambda: first,
        "Does the first shared expert stand in for all of them?": lambda: num_shared * first,
        "Is x added to the output? The residual is the block's work.": lambda: want + tokens,
    }


def activation_slips(of: Callable[[Callable], Tensor]) -> Slips:
    """`of(activation)` is the output with another activation than SiLU."""
    others: dict[str, Callable] = {"GELU": F.gelu, "ReLU": F.relu, "a sigmoid": torch.sigmoid}
    return {
        f"Is the activation SiLU, as in SwiGLU of helpers.model.llama, and not {name}?": partial(
            of, activation
        )
        for name, activation in others.items()
    }


def own_slips(outs: Tensor, experts: list, tokens: Tensor) -> Slips:
    """Of experts that are known one by one, with what each makes of x in `outs`."""

    def in_a_row(start: Tensor, residual: bool) -> Tensor:
        y = start
        for units in experts:
            y = swiglu(units, y) + (y if residual else 0)
        return y - start if residual else y

    def summed(x: Tensor, activation: Callable = F.silu) -> Tensor:
        return torch.stack([swiglu(units, x, activation) for units in experts]).sum(0)

    normed = F.layer_norm(tokens, tokens.shape[-1:])
    return {
        "Does the last shared expert replace the others, not add to them?": lambda: outs[-1],
        "Does each shared expert read x, and not what the one before it made?": lambda: in_a_row(
            tokens, residual=False
        ),
        "Does each shared expert read x alone, without the sum so far?": lambda: in_a_row(
            tokens, residual=True
        ),
        "Is it the largest of the outputs, where their sum belongs?": lambda: outs.amax(0),
        "Is x added once per shared expert? The residual is the block's work.": lambda: (
            outs.sum(0) + len(experts) * tokens
        ),
        "Is x brought to length 1 first? That is the block's work.": lambda: summed(
            F.normalize(tokens, dim=-1)
        ),
        "Is x normalised first? That is the block's work.": lambda: summed(normed),
        **activation_slips(lambda activation: summed(tokens, activation)),
    }
