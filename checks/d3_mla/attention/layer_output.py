"""What the whole attention returns, once it has the right kind and values."""

from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.attention.extremes import ASK_LENGTH, LONG, of_long
from checks.d3_mla.attention.layer_cases import SlowAttention, WatchedCache
from checks.d3_mla.cases import POSITIONS
from checks.grading import expect
from checks.grading.result import Built

LEAST = 1e-5  # a change of the output that is no rounding


def output(layer: Built, x: Tensor, *cache: Built) -> Tensor:
    """What the layer returns for a copy of x, once it is of the right kind."""
    y = layer(x.clone(), *cache)
    narrow = isinstance(y, Tensor) and y.ndim == 3 and y.shape[-1] != x.shape[-1]
    ask = "All heads side by side, (B, L, H·v), go through `out`." if narrow else ""
    return expect.tensor(y, "the output", x.shape, x.dtype, ask, TOKENS).detach()


expect_close = partial(expect.close, name="the output", axes=POSITIONS)


def expect_long(
    layer: Built, true: SlowAttention, lengths: list[int], when: str, *cache: WatchedCache
) -> None:
    """Many positions, in chunks of these lengths."""
    x = true.case.draw(1, LONG, true.case.d_model)
    chunks = x.split(lengths, dim=1)
    got = of_long(lambda: torch.cat([output(layer, chunk, *cache) for chunk in chunks], dim=1))
    expect_close(got, true(x), when=when, slips={ASK_LENGTH: lambda: got})
