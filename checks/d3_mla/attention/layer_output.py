"""What the whole attention returns, once it has the right kind and values."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.attention.extremes import ASK_LENGTH, LONG, of_long
from checks.d3_mla.attention.layer_cases import SlowAttention, WatchedCache
from checks.d3_mla.cases import POSITIONS
from checks.grading import expect
from checks.grading.differences.numbers import pattern
from checks.grading.result import Built

LEAST = 1e-5  # a change of the output that is no rounding


def output(layer: Built, x: Tensor, *cache: Built) -> Tensor:
    """What the layer returns for a copy of x, once it is of the right kind."""
    y = layer(x.clone(), *cache)
    narrow = isinstance(y, Tensor) and y.ndim == 3 and y.shape[-1] != x.shape[-1]
    ask = "All heads side by side, (B, L, H·v), go through `out`." if narrow else ""
    return expect.tensor(y, "the output", x.shape, x.dtype, ask, TOKENS).detach()


expect_close = partial(expect.close, name="the output", axes=POSITIONS)


def only_the_first_is_right(got: Tensor, want: Tensor) -> bool:
    """Whether position 0, which sees itself alone, is right in every sequence, and another not."""
    return expect.near(got[:, 0], want[:, 0]) and not expect.near(got, want)


def asks_of_values(
    got: Tensor, want: Tensor, slips: Mapping[str, Callable[[], Tensor]]
) -> dict[str, Callable[[], Tensor]]:
    """The slips that make this output but for an epsilon, or else what position 0 tells."""
    made = [ask for ask, slip in slips.items() if expect.near(got, slip())]
    return dict.fromkeys(made, got.clone) or of_scores(got, want) or _of_mixed(got, want)


def of_scores(got: Tensor, want: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The question to an output that is right where no score matters, and wrong elsewhere."""
    return {_ASK_SCORES: lambda: got} if only_the_first_is_right(got, want) else {}


def _of_mixed(got: Tensor, want: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The question to an output that is wrong where no score matters, by no simple rule."""
    right = any(expect.near(a, b) for a, b in zip(got[:, 0], want[:, 0], strict=True))
    return {} if right or pattern(got, want, POSITIONS) else {_ASK_MIXED: lambda: got}


_ASK_SCORES = (
    "Position 0 sees itself alone, whatever the scores, and it is right. Are the scores wrong "
    "elsewhere (content, rotary part, what they are divided by), or what is done with them?"
)
_ASK_MIXED = (
    "Position 0 sees itself alone, whatever the scores, and it is wrong. Are values mixed, and not "
    "keys, do they come of the right latent, and does `out` get all of them, head after head?"
)


def expect_long(
    layer: Built, true: SlowAttention, lengths: list[int], when: str, *cache: WatchedCache
) -> None:
    """Many positions, in chunks of these lengths."""
    x = true.case.draw(1, LONG, true.case.d_model)
    chunks = x.split(lengths, dim=1)
    got = of_long(lambda: torch.cat([output(layer, chunk, *cache) for chunk in chunks], dim=1))
    expect_close(got, true(x), when=when, slips={ASK_LENGTH: lambda: got})
