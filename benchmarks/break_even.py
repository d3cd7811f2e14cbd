"""From how many cached positions on a step without expanding is the faster: `break_even`.

Medians of 40 turns, measured in turn, at D4's sizes, one text. `attention_ways.BREAK_EVEN` is where
`DeepSeekBlock` changes over.
"""

from dataclasses import asdict
from typing import cast

import torch

from benchmarks.models import SIZES
from helpers.measuring.decode_steps import StepSizes, filled_cache
from helpers.measuring.timing import median_milliseconds
from helpers.model.attention_ways import BREAK_EVEN
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention, absorbed_decode

TURNS = 40
CACHED = (16, 32, 64, 100, 128, 192, 256, 512)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size = SIZES["d4"]
    sizes = StepSizes(
        size["d_model"], size["heads"], size["d_head"], size["latent"], size["rotary"]
    )
    attention = MultiHeadLatentAttention(**asdict(sizes))
    print(f"changes over behind {BREAK_EVEN} positions\n")
    print("| cached | expanded, ms | absorbed, ms | of expanded |\n|---|---|---|---|")
    for cached in CACHED:
        expanded, absorbed = step_times(attention, sizes, cached)
        print(f"| {cached} | {expanded:.3f} | {absorbed:.3f} | {absorbed / expanded:.2f} |")


def step_times(
    attention: MultiHeadLatentAttention, sizes: StepSizes, cached: int
) -> tuple[float, float]:
    """The milliseconds of a step both ways after `cached` positions."""
    x = torch.randn(1, 1, sizes.d_model)
    whole, parts = (
        cast(LatentCache, filled_cache(attention, sizes, cached, TURNS + 1, x)) for _ in range(2)
    )
    calls = {
        "expanded": lambda: attention(x, whole),
        "absorbed": lambda: absorbed_decode(attention, x, parts),
    }
    taken = median_milliseconds(calls, TURNS)
    return taken["expanded"], taken["absorbed"]
