"""YaRN, by which DeepSeek's models read further than they were trained, in numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Yarn:
    """How rotary angles and scores are stretched (arXiv 2309.00071; V3p, section 4.3).

    `factor` times as many positions as the `trained` ones; pairs that turn more than `beta_fast`
    times within those keep their angle, pairs that turn less than `beta_slow` times have it
    divided.
    `mscale_all_dim` is released configurations' name for what sharpens the scores.
    """

    factor: float
    trained: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale_all_dim: float = 0.0

    @property
    def scale(self) -> float:
        """What multiplies all scores, 1 without `mscale_all_dim` (`softmax_scale` in model.py)."""
        if self.factor <= 1:
            return 1.0
        return (0.1 * self.mscale_all_dim * math.log(self.factor) + 1.0) ** 2

    def angles(self, frequencies: Callable[..., Tensor], d_rope: int, theta: float) -> Tensor:
        """Radians per position of each pair, as the lesson's `yarn_frequencies` makes them."""
        return frequencies(
            d_rope,
            self.factor,
            trained=self.trained,
            theta=theta,
            beta_fast=self.beta_fast,
            beta_slow=self.beta_slow,
        )
