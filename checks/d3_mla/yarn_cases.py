"""What the check of YaRN's angles runs on."""

import math
import random
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stretched:
    """One case; what is None is left to its default."""

    d_rope: int
    factor: float
    trained: int | None = None
    theta: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None

    def __str__(self) -> str:
        parts = [f"d_rope={self.d_rope}", f"factor={self.factor:g}"]
        return ", ".join([*parts, *(f"{name}={value:g}" for name, value in self.options().items())])

    def options(self) -> dict:
        names = "trained", "theta", "beta_fast", "beta_slow"
        every = {name: getattr(self, name) for name in names}
        return {name: value for name, value in every.items() if value is not None}

    @property
    def base(self) -> float:
        return self.theta or 10_000.0

    @property
    def pairs(self) -> range:
        return range(self.d_rope // 2)

    def plain(self, pair: int) -> float:
        """The angle per position without YaRN."""
        return self.base ** (-2 * pair / self.d_rope)

    def ends(self) -> tuple[int, int]:
        """The last pair that keeps its angle, and the first that has it divided."""

        def pair_that_turns(times: float) -> float:
            length = (self.trained or 4096) / (2 * math.pi * times)
            return self.d_rope * math.log(length) / (2 * math.log(self.base))

        first = math.floor(pair_that_turns(self.beta_fast or 32))
        last = math.ceil(pair_that_turns(self.beta_slow or 1))
        return max(first, 0), min(last, self.d_rope - 1)

    def ramp(self, pair: int) -> float:
        first, last = self.ends()
        return min(max((pair - first) / max(last - first, 0.001), 0.0), 1.0)

    def ramp_of_turns(self, pair: int) -> float:
        """A slip: even over the number of turns within the trained positions."""
        fast, slow = self.beta_fast or 32, self.beta_slow or 1
        turns = (self.trained or 4096) * self.plain(pair) / (2 * math.pi)
        return min(max((fast - turns) / (fast - slow), 0.0), 1.0)


def stretcheds(rng: random.Random) -> list[Stretched]:
    """Eleven cases: V3's own, other lengths and bases, no pair that keeps its angle, a ramp that
    goes on behind the last pair, a ramp of one step, one pair, other borders of the ramp, a ramp
    without length.
    """

    def factor() -> float:
        return rng.choice([2.5, 4.0, 8.0, 16.0, 40.0])

    def wide(**kind: Any) -> Stretched:
        return Stretched(2 * rng.randint(20, 40), factor(), **kind)

    return [
        Stretched(64, 40.0),
        wide(),
        wide(trained=rng.choice([1024, 2048])),
        wide(theta=rng.choice([5e4, 5e5])),
        wide(trained=rng.choice([8192, 16384]), theta=1e6),
        Stretched(2 * rng.randint(5, 9), factor(), trained=rng.randint(100, 190)),
        Stretched(2 * rng.randint(8, 16), factor(), trained=4096, theta=100.0),
        Stretched(4, factor(), trained=rng.randint(250, 600)),
        Stretched(2, factor()),
        wide(beta_fast=rng.uniform(10, 20), beta_slow=rng.uniform(2, 4)),
        Stretched(8, factor(), trained=rng.randint(4, 6)),
    ]
