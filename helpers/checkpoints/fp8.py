"""FP8 weights with one scale per block of 128 x 128, as V3 was released (V3p, section 3.3)."""

import torch
from torch import Tensor

BLOCK = 128
FP8 = torch.float8_e4m3fn
SCALE = "_scale_inv"  # behind the name of a weight, the name of its scales


def dequantised(weight: Tensor, scales: Tensor) -> Tensor:
    """The weight `(rows, columns)` in bfloat16: each block times its scale, a float32 number.

    Raises a ValueError unless there is one scale per block, those at the border included.
    """
    rows, columns = weight.shape
    blocks = -(-rows // BLOCK), -(-columns // BLOCK)
    if tuple(scales.shape) != blocks:
        raise ValueError(
            f"a weight of shape {(rows, columns)} must have scales of shape {blocks}, "
            f"got {tuple(scales.shape)}"
        )
    result = torch.empty(rows, columns, dtype=torch.bfloat16, device=weight.device)
    for i, band in enumerate(weight.split(BLOCK)):
        spread = scales[i].float().repeat_interleave(BLOCK)[:columns]
        result[i * BLOCK : (i + 1) * BLOCK] = band.float() * spread
    return result
