"""How much memory a checkpoint's folder takes, told from the heads of its files alone."""

from collections.abc import Iterator
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
    tensors = [_Stored(kind, size) for path in weight_files(folder) for kind, size in _heads(path)]
    return MemoryNeeded(
        mapped=sum(t.bytes for t in tensors if not t.is_copied(dtype)),
        copied=sum(t.size * t.width(dtype) for t in tensors if t.is_copied(dtype)),
        cache=numbers_per_token * tokens * max((t.width(dtype) for t in tensors), default=0),
        widened=any(t.kind == FP8_NAME for t in tensors),
    )


@dataclass(frozen=True)
class _Stored:
    """A tensor as its file's head tells it: the name of its type, and how many numbers it has."""

    kind: str
    size: int

    @property
    def bytes(self) -> int:
        return self.size * BYTES.get(self.kind, 8)

    def width(self, dtype: torch.dtype | None) -> int:
        """The bytes of a number once it is loaded; FP8 becomes bfloat16 unless `dtype` is given."""
        if dtype is not None:
            return dtype.itemsize
        return 2 if self.kind == FP8_NAME else BYTES.get(self.kind, 8)

    def is_copied(self, dtype: torch.dtype | None) -> bool:
        """Whether loading it leaves the file's memory for a memory of its own."""
        return self.kind == FP8_NAME or (dtype is not None and NAMES[dtype] != self.kind)


def _heads(path: Path) -> Iterator[tuple[str, int]]:
    """The type and the size of each tensor of a file but for the scales of others."""
    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118
            if not name.endswith(SCALE):
                head = tensors.get_slice(name)
                yield head.get_dtype(), prod(head.get_shape())


def free_memory() -> int:
    """The bytes that could be had now without swapping."""
    return psutil.virtual_memory().available
