"""What the check of D3's open task says of caches that restore other keys and values."""

import pytest
import torch

from checks import CheckFailed
from checks.audit.bank.d3_mla.small_cache.steps import Latent, Rounded
from checks.d3_mla.small_cache import check_small_cache

FIRST, ALONE, LIKE = "rows that are kept", "each token by itself", "keys and values alike"


def cache(kept=None, came=None, made=None, base=Rounded):
    """A right cache, but for a change of what is kept, what comes back, or the directions."""

    class SmallCache(base):
        def __init__(self, W_K, W_V, activations):
            super().__init__(W_K, W_V, activations)
            if made:
                made(self, activations)

        def keep(self, x):
            return [kept(self, part) if kept else part for part in super().keep(x)]

        def expand(self, *parts):
            pair = super().expand(*parts)
            return came(*pair) if came else pair

    return SmallCache


def first(count):
    def cut(self, activations):
        self.up, self.down = self.up[:, -count:], self.down[-count:]

    return cut


def drawn(self, activations):
    self.down = torch.randn(self.down.shape, generator=torch.Generator().manual_seed(0)).to(
        self.down
    )


def without_mean(self, activations):
    self.keep = lambda x: [(x - activations.mean(0)) @ self.down.T]


def neighbours(self, part):
    return part + 0.05 * part.roll(1, 0)


SLIPS = [
    (cache(came=lambda k, v: (k[..., None], v[..., None])), FIRST, "without a `squeeze`, or"),
    (cache(came=lambda k, v: (k.half(), v.half())), FIRST, "not turned back at the end?"),
    (cache(came=lambda k, v: torch.cat([k, v], 1).chunk(2)), FIRST, "along the last dimension?"),
    (cache(kept=lambda self, part: part[1:]), FIRST, "Is the first token left out, or the last?"),
    (cache(kept=lambda self, part: part // 128 * 0), ALONE, "are the steps too coarse"),
    (cache(came=lambda k, v: (k, 0 * v)), ALONE, "all restored values are 0. Are they made from"),
    (cache(kept=neighbours, base=Latent), ALONE, "Does the row before or after go into it"),
    (cache(kept=lambda self, part: part - part.mean(0), base=Latent), ALONE, "Is a scale or a me"),
    (cache(came=lambda k, v: (v, k)), LIKE, "They are like the true values: do keys"),
    (cache(came=lambda k, v: (-k, v)), LIKE, "Is each number multiplied by what it was"),
    (cache(kept=lambda self, part: part * 0 + 127), LIKE, "All tokens get the same keys"),
    (
        cache(made=first(1), base=Latent),
        LIKE,
        "along 1 direction, and the best one would not be enough",
    ),
    (cache(made=without_mean, base=Latent), LIKE, "is a mean that keep takes off put back"),
    (cache(made=drawn, base=Latent), LIKE, "Do keep and expand use the same"),
]


@pytest.mark.parametrize(("answer", "stage", "ask"), SLIPS, ids=range(len(SLIPS)))
def test_a_slip_is_asked_about(answer, stage, ask):
    for seed in range(3):
        with pytest.raises(CheckFailed) as failed:
            check_small_cache(answer, seed=seed)
        assert failed.value.stage.startswith(stage)
        assert ask in failed.value.message and "high?" not in failed.value.message
