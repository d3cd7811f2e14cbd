"""One decode step four ways, side by side: `python -m benchmarks decode`.

Medians of five turns, measured in turn, at batch 1. A step is a whole attention with its
projections; d_model is small, so that they cost little beside the cache, and about the same in all
four ways.
"""

import torch

from helpers.measuring.decode_steps import WAYS, StepSizes, copy_bandwidth, decode_milliseconds
from solutions.d3_mla import MultiHeadLatentAttention, absorbed_decode

LARGE = StepSizes(d_model=512, num_heads=32, d_head=128, d_latent=512, d_rope=64)
SMALL = StepSizes(d_model=512, num_heads=16, d_head=64, d_latent=128, d_rope=32)
RUNS = (
    (LARGE, torch.float32, (4096, 16_384)),
    (LARGE, torch.bfloat16, (4096, 16_384)),
    (SMALL, torch.float32, (8192,)),
    (SMALL, torch.bfloat16, (8192,)),
)
COLUMNS = ("dtype", "heads x width, latent, context", "way", "ms", "of absorbed", "MB", "GB/s")


def rows(
    sizes: StepSizes,
    dtype: torch.dtype,
    contexts: tuple[int, ...],
    device: torch.device | str = "cpu",
) -> list[tuple]:
    """One row per context and way; MB counts what of the cache the way must move."""
    taken = decode_milliseconds(
        MultiHeadLatentAttention, absorbed_decode, sizes, contexts, dtype=dtype, device=device
    )
    made = []
    for i, context in enumerate(contexts):
        least = taken["latents absorbed"][i]
        setting = f"{sizes.num_heads} x {sizes.d_head}, {sizes.d_latent}, {context}"
        for way, moved in zip(WAYS, bytes_moved(sizes, context, dtype.itemsize), strict=True):
            ms = taken[way][i]
            times = (
                f"{ms:.2f}",
                f"{ms / least:.1f}x",
                f"{moved / 1e6:.0f}",
                f"{moved / ms / 1e6:.1f}",
            )
            made.append((str(dtype).removeprefix("torch."), setting, way, *times))
    return made


def bytes_moved(sizes: StepSizes, context: int, itemsize: int) -> tuple[int, ...]:
    """What each of `WAYS` moves of its cache for one token, at least."""
    standard = sizes.standard_bytes(context, itemsize)
    expanded = sizes.expanded_bytes(context, itemsize)
    return standard, standard, expanded, sizes.absorbed_bytes(context, itemsize)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)  # the same on every machine; more threads favour the absorbed step
    torch.manual_seed(0)
    copied = f"this machine copies {copy_bandwidth() / 1e9:.1f} GB/s, read and written"
    # a processor without bfloat16 instructions is slow at it
    print(f"one thread, {torch.backends.cpu.get_cpu_capability()}; {copied}\n")
    print("|".join(("", *COLUMNS, "")) + "\n|" + "---|" * len(COLUMNS))
    for run in RUNS:
        for row in rows(*run):
            print("| " + " | ".join(row) + " |", flush=True)
