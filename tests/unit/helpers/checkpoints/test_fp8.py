"""FP8 weights: each block times its own scale, also the cut ones at the border."""

import pytest
import torch

from helpers.checkpoints.fp8 import FP8, dequantised


def test_each_block_has_its_own_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 200, generator=generator)
    scales = torch.rand(3, 2, generator=generator) + 0.1
    narrow = weight.to(FP8)
    got = dequantised(narrow, scales)
    assert got.dtype == torch.bfloat16
    for row, column in ((0, 0), (127, 128), (128, 127), (299, 199)):
        want = narrow[row, column].float() * scales[row // 128, column // 128]
        assert got[row, column] == want.bfloat16()


def test_scales_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a weight of shape \(300, 200\) must have scales of"):
        dequantised(torch.zeros(300, 200, dtype=FP8), torch.ones(2, 2))
