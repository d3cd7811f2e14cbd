"""How much memory a checkpoint's folder takes, told from the heads of its files alone."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from helpers.checkpoints.fp8 import SCALE
from helpers.checkpoints.weight_files import weight_files
from helpers.model.kv_cache import in_gb

FP8_NAME = "F8_E4M3"
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, FP8_NAME: 1}
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class MemoryNeeded:
    """Bytes: `mapped` from files, which the system may drop and read again; `copied`, which must
    stay; `cache` of so many tokens. `widened` says that FP8 weights become bfloat16.
    """

    mapped: int
    copied: int
    cache: int
    widened: bool

    def __str__(self) -> str:
        parts = [f"{in_gb(self.mapped)} mapped from files" if self.mapped else ""]
        why = ", twice their files since FP8 becomes bfloat16" if self.widened else ""
        parts += [f"{in_gb(self.copied)} of weights in memory{why}" if self.copied else ""]
        return ", ".join(filter(None, [*parts, f"{in_gb(self.cache)} of cache"]))


def memory_needed(
    folder: Path, dtype: torch.dtype | None, numbers_per_token: int, tokens: int
) -> MemoryNeeded:
    """What a model needs whose cache holds `numbers_per_token` for each of `tokens` tokens.

    With a `dtype` other than the files' the weights are copied. Raises as `weight_files` does.
    """
    mapped = copied = 0
    widened, width = False, 0
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                head = tensors.get_slice(name)
                kind, size = head.get_dtype(), prod(head.get_shape())
                if name.endswith(SCALE):
                    continue
                stored = BYTES.get(kind, 8)
                wanted = stored if dtype is None else dtype.itemsize
                width = max(width, 2 if kind == FP8_NAME and dtype is None else wanted)
                if kind == FP8_NAME:
                    widened, copied = True, copied + size * (wanted if dtype else 2)
                elif dtype is not None and NAMES[dtype] != kind:
                    copied += size * wanted
                else:
                    mapped += size * stored
    return MemoryNeeded(mapped, copied, numbers_per_token * tokens * width, widened)


def free_memory() -> int:
    """The bytes that could be had now without swapping."""
    return psutil.virtual_memory().available
