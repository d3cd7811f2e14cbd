"""How answers to D2's exercises on balancing differ from slow loops: one `at_…` per exercise."""

from fractions import Fraction
from itertools import chain, count

import torch
from torch import Tensor

import solutions.d2_deepseek_moe as reference
from tests.oracle.comparison import tensor_faults, unchanged, x_
from tests.oracle.d1_moe import counted

# --- slow loops ---------------------------------------------------------------------------------


def moved(bias, load, step):
    mean = Fraction(sum(load), len(load))
    return [b + step * ((c < mean) - (c > mean)) for b, c in zip(bias, load, strict=True)]


def choices_of_real_tokens(experts, real, m):
    """The rows of the real tokens: those of token t are t·m to t·m + m - 1."""
    tokens = [t for t, is_real in enumerate(chain.from_iterable(real)) if is_real]
    return [experts[t * m + s] for t in tokens for s in range(m)]


def controlled(affinity, top_k, step):
    """The bias after each batch, in Python's numbers."""
    bias, path = [0.0] * len(affinity[0][0]), []
    for batch in affinity:
        biased = [[a + b for a, b in zip(token, bias, strict=True)] for token in batch]
        chosen = [sorted(range(len(bias)), key=lambda i: -token[i])[:top_k] for token in biased]
        bias = moved(bias, counted(chosen, len(bias)), step)
        path.append(bias)
    return path


def last_that_fits(top_k, tokens, limit):
    """The E before the first whose chance CV² is over the limit's square."""
    square = Fraction(limit) ** 2
    return next(e for e in count(top_k) if Fraction(e + 1 - top_k, top_k * tokens) > square)


# --- one look per exercise ----------------------------------------------------------------------


def at_update(answer, bias, load, step, dtype):
    faults = set()
    for counts in (load, load[::-1]):
        old, counted = torch.tensor(bias, dtype=dtype), torch.tensor(counts)
        new = answer(old, counted, step)
        faults |= unchanged([old, counted], [torch.tensor(bias, dtype=dtype), torch.tensor(counts)])
        if not isinstance(new, Tensor) or new.dtype != dtype or new.shape != old.shape:
            return faults | {"kind, shape or dtype"}
        wanted = torch.tensor(moved(bias, counts, step), dtype=dtype)
        close = torch.allclose(new, wanted, rtol=1e-6, atol=1e-6 * step)
        faults |= set() if close and not new.requires_grad else {"value"}
    return faults


def at_rebalance(answer, b, l, d, e, k, m, masks, step, dtype):  # noqa: E741
    layer = reference.DeepSeekMoE(d, e, k, 3, 1, num_segments=m).to(dtype)
    layer.router.bias.copy_(torch.linspace(0.1, -0.1, e))
    layer.router.bias[-1] = -2.0  # nobody chooses the last expert
    weights = [weight.detach().clone() for weight in layer.parameters()]
    faults = set()
    for mask in masks:
        layer(3 * x_(b, l, d).to(dtype))
        experts, before = layer.last_experts.tolist(), layer.router.bias.tolist()
        real = torch.tensor(mask)
        real = real.T.contiguous().T if m > 1 else real
        mine = answer(layer, real, step)
        load = counted(choices_of_real_tokens(experts, mask, m), e)
        wanted = torch.tensor(moved(before, load, step), dtype=dtype)
        faults |= tensor_faults(mine, torch.tensor(load), "load")
        faults |= bias_faults(layer.router, wanted, step)
        faults |= set() if layer.last_experts.tolist() == experts else {"last_experts"}
        faults |= unchanged([real], [torch.tensor(mask)])
        if faults:
            return faults
    return unchanged(layer.parameters(), weights)


def bias_faults(router, wanted, step):
    """Whether `bias` is anything but a saved buffer of these numbers."""
    bias = dict(router.named_buffers()).get("bias")
    if bias is None or "bias" not in router.state_dict() or bias.requires_grad:
        return {"bias is no saved buffer"}
    if bias.dtype != wanted.dtype or bias.shape != wanted.shape:
        return {"shape or dtype of bias"}
    return set() if torch.allclose(bias, wanted, rtol=1e-6, atol=1e-3 * step) else {"bias"}


def at_control(answer, s, t, e, top_k, step, slope, dtype):
    affinity = (x_(t, s, e).transpose(0, 1) + torch.linspace(-slope, slope, e)).sigmoid().to(dtype)
    given = affinity.clone()
    mine = answer(given, top_k, step)
    wanted = torch.tensor(controlled(affinity.tolist(), top_k, step), dtype=dtype)
    return unchanged([given], [affinity]) | tensor_faults(mine, wanted)


def at_most_experts(answer, *case):
    mine = answer(*case)
    if type(mine) is not int:
        return {"no whole number"}
    return set() if mine == last_that_fits(*case) else {"value"}


# --- cases ----------------------------------------------------------------------------------------

DOUBLE, SINGLE = torch.float64, torch.float32
BIASES = [
    ([0.3, -1.7, 0.0, 0.2], [4, 2, 1, 3], 0.1, SINGLE),
    ([0.05, 0.1, -0.2, 1.4, 0.0], [10, 11, 0, 30, 9], 0.001, DOUBLE),
    ([0.0, 0.0, 0.0], [3, 3, 3], 0.5, SINGLE),
    ([0.1, -0.1], [0, 0], 0.01, DOUBLE),
    ([0.1, -0.1, 0.2], [2, 3, 1], 0.01, DOUBLE),
    ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 1, 2, 0, 100, 30], 0.02, SINGLE),
    ([0.1, -0.1, 0.2], [200_001, 200_000, 199_999], 0.01, DOUBLE),
]
# Real tokens may stand anywhere: no padding, padding on either side, a hole, only padding.
FULL = [[True] * 4, [True] * 4, [True] * 4]
LEFT = [[False, False, True, True], [True] * 4, [False, True, True, True]]
RIGHT = [[True, True, False, False], [True, False, False, False], [True] * 4]
HOLES = [[True, False, True, True], [False, True, False, True], [False, False, False, False]]
NONE = [[False] * 4, [False] * 4, [False] * 4]
BATCHES = [
    (3, 4, 6, 5, 2, 1, [RIGHT, LEFT, HOLES, LEFT], 0.1, SINGLE),
    (3, 4, 8, 8, 2, 2, [LEFT, FULL, RIGHT, RIGHT], 0.02, SINGLE),
    (3, 4, 9, 7, 3, 3, [HOLES, RIGHT, HOLES], 0.003, DOUBLE),
    (3, 4, 6, 12, 1, 1, [NONE, HOLES], 0.5, SINGLE),
    (3, 4, 6, 4, 2, 2, [FULL, LEFT, RIGHT], 0.05, DOUBLE),
    (3, 4, 6, 5, 2, 1, [LEFT, RIGHT], 0.0, SINGLE),
]
AFFINITIES = [
    (9, 12, 5, 2, 0.05, 1.0, DOUBLE),
    (6, 10, 7, 3, 0.01, 0.5, DOUBLE),
    (8, 7, 4, 1, 0.2, 2.0, SINGLE),
    (5, 1, 6, 2, 0.1, 0.0, DOUBLE),
    (1, 9, 4, 2, 0.3, 1.0, DOUBLE),
    (8, 12, 4, 2, 0.05, 0.5, DOUBLE),  # some experts are at the mean exactly
    (3, 9, 4, 2, 0.0, 1.0, DOUBLE),
]
# None of these limits is met exactly: floats would decide for the one side or the other.
LIMITS = [
    (2, 512, 0.1),
    (2, 40, 0.21),
    (3, 777, 0.15),
    (1, 90, 0.35),
    (4, 50, 0.043),
    (8, 4096, 0.1),
    (6, 333, 0.061),
    (5, 40, 0.0),
    (4, 64, 0.5),  # met exactly
    (8, 21_000, 0.41),
]
LOOKS = {
    "D2.3c": (at_update, BIASES),
    "D2.3e": (at_rebalance, BATCHES),
    "D2.I1": (at_control, AFFINITIES),
    "D2.I2": (at_most_experts, LIMITS),
}
PUBLIC = {
    "D2.3c": reference.update_bias,
    "D2.3e": reference.rebalance,
    "D2.I1": reference.control_bias,
    "D2.I2": reference.most_experts,
}
