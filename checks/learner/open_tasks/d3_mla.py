"""D3's open task: how few bytes a token takes while a trained attention stays what it was."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from checks.d3_mla.small_cache import bytes_per_token, check_small_cache, expanded, kept_rows
from checks.learner.measured import Measure, NotMeasured
from helpers.measuring.conversion import (
    agreement,
    converted_output,
    key_and_value_weights,
    standard_output,
)
from helpers.model.llama import Decoder

ASKED = 0.98  # the least mean cosine of a layer's output


class _Kept:
    """A cache as the conversion of D3.3f takes it: `down` keeps rows, `up` expands them.

    Rows are expanded by a copy that has never seen them; `sizes` holds their bytes per token.
    """

    def __init__(self, cache: Any, shape: tuple[int, int, int]):
        self.cache, self.stranger, self.shape = cache, copy.deepcopy(cache), shape
        self.sizes: list[float] = []

    def down(self, x: Tensor) -> tuple[Tensor, ...]:
        kept = kept_rows(self.cache, x.flatten(0, 1))
        self.sizes.append(bytes_per_token(kept))
        return kept

    def up(self, *kept: Tensor) -> tuple[Tensor, ...]:
        batch, length, width = self.shape
        pair = expanded(self.stranger, kept, (batch * length, width), torch.float32)
        return tuple(part.view(batch, length, 1, width) for part in pair)

    def __deepcopy__(self, memo: dict) -> "_Kept":
        return self


def cache_measure(
    model: Decoder, fitted_on: Sequence[Tensor], measured_on: Sequence[Tensor]
) -> Measure:
    """The measure of a small cache in each attention of a trained `model`.

    It is fitted on the attentions' inputs `fitted_on` and measured on `measured_on`.
    """

    @torch.no_grad()
    def size(answer: object) -> float:
        """Bytes per token and layer, where every layer's output stays as it was."""
        make, sizes = cast(Callable, answer), []
        layers = zip(model.blocks, fitted_on, measured_on, strict=True)
        for number, (block, fit, held) in enumerate(layers, start=1):
            weights = key_and_value_weights(block.attention)
            cache = _Kept(make(*weights, fit.flatten(0, 1)), (*held.shape[:2], len(weights[0])))
            got = converted_output(block.attention, held, cache)
            found = agreement(got, standard_output(block.attention, held)).mean
            if found < ASKED:
                raise NotMeasured(f"layer {number} has a cosine of {found:.3f}, below {ASKED}")
            sizes += cache.sizes
        return sum(sizes) / len(sizes)

    return Measure(
        exercise="D3.O1",
        title="the smallest cache",
        unit="bytes per token and layer",
        better="lower",
        take=size,
        check=check_small_cache,
    )
