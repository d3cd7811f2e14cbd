"""How answers to D2's exercises on balancing differ from slow loops: one `at_…` an exercise."""

from fractions import Fraction
from itertools import chain, count

import torch
from torch import Tensor

from solutions.d2_deepseek_moe import DeepSeekMoE
from tests.oracle.d1_moe import counted, tensor_faults, unchanged, x_

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


# --- one look an exercise -----------------------------------------------------------------------


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
    layer = DeepSeekMoE(d, e, k, 3, 1, num_segments=m).to(dtype)
    layer.router.bias.copy_(torch.linspace(0.1, -0.1, e))
    layer.router.bias[-1] = -2.0  # nobody chooses the last expert
    weights = [weight.detach().clone() for weight in layer.parameters()]
    faults = set()
    for mask in masks:
        layer(3 * x_(b, l, d).to(dtype))
        experts, before = layer.last_experts.tolist(), layer.router.bias.tolist()
        real = torch.tensor(mask).T.contiguous().T
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
