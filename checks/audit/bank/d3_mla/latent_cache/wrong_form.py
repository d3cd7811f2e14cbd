"""Wrong answers to D3.2 LatentCache: shapes, bytes, types, and a state that outlives one use."""

from typing import ClassVar

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latent_cache.steps import end_of, written
from solutions.d3_mla import LatentCache


def refuse_no_room(cache, parts):
    """Where the new positions end; a ValueError past the capacity. Shapes are not asked about."""
    end = cache.used + parts[0].shape[1]
    if end > cache.capacity:
        raise ValueError(f"the cache holds {cache.capacity} positions, and {end} are needed")
    return end


# --- shapes -------------------------------------------------------------------------------------


@wrong
class OnlyRoomAsked(LatentCache):
    """Shapes are left to torch: a batch or width of one is copied out, others a RuntimeError."""

    def append(self, *parts):
        if not self.buffers:
            sizes = zip(parts, self.widths, strict=True)
            self.buffers = [p.new_empty(self.batch, self.capacity, w) for p, w in sizes]
        return written(self, parts, refuse_no_room(self, parts))


@wrong
class WidthsNotAsked(LatentCache):
    """The batch is asked about, the widths are not."""

    def append(self, *parts):
        end = refuse_no_room(self, parts)
        if any(part.shape[0] != self.batch for part in parts):
            raise ValueError(f"the batch must be {self.batch}")
        return written(self, parts, end)


@wrong
class BatchNotAsked(LatentCache):
    """The widths are asked about, the batch is not: one sequence fills every row."""

    def append(self, *parts):
        end = refuse_no_room(self, parts)
        if tuple(part.shape[-1] for part in parts) != self.widths:
            raise ValueError(f"the widths must be {self.widths}")
        return written(self, parts, end)


@wrong
class FirstPartAsked(LatentCache):
    """Only the first part's shape is asked about."""

    def append(self, *parts):
        end = refuse_no_room(self, parts)
        if parts[0].shape != (self.batch, parts[0].shape[1], self.widths[0]):
            raise ValueError(f"the first part came as {tuple(parts[0].shape)}")
        return written(self, parts, end)


@wrong
class TakesItsSizesFromTheFirst(LatentCache):
    """Batch and widths of the first append count, whatever the constructor was told."""

    def append(self, *parts):
        end = refuse_no_room(self, parts)
        if not self.buffers:
            self.buffers = [p.new_empty(len(p), self.capacity, p.shape[-1]) for p in parts]
        if any(b[:, :0].shape != p[:, :0].shape for b, p in zip(self.buffers, parts, strict=True)):
            raise ValueError("a part has another shape than before")
        return written(self, parts, end)


@wrong
class TypeErrorForShapes(LatentCache):
    """A TypeError for a part of another shape."""

    def append(self, *parts):
        wanted = [(self.batch, parts[0].shape[1], width) for width in self.widths]
        if [tuple(part.shape) for part in parts] != wanted:
            raise TypeError(f"parts must be {wanted}")
        return super().append(*parts)


@wrong
class SmallerBatchTaken(LatentCache):
    """A smaller batch is filled up with zeros."""

    def append(self, *parts):
        missing = self.batch - len(parts[0])
        if missing > 0:
            parts = [torch.cat([p, p.new_zeros(missing, *p.shape[1:])]) for p in parts]
        return super().append(*parts)


@wrong
class WidthBeforePositions(LatentCache):
    """Everything comes back as (B, width, S), as some kernels want it."""

    def append(self, *parts):
        return tuple(y.transpose(1, 2) for y in super().append(*parts))


@wrong
class BatchOfOneDropped(LatentCache):
    """squeeze: axes of size one are gone."""

    def append(self, *parts):
        return tuple(y.squeeze() for y in super().append(*parts))


# --- bytes --------------------------------------------------------------------------------------


@wrong
class BytesOfUsedRows(LatentCache):
    """Buffers grow by torch.cat, and `nbytes` is what is used."""

    def append(self, *parts):
        end = end_of(self, parts)
        held = self.buffers or [p.detach()[:, :0] for p in parts]
        pairs = zip(held, parts, strict=True)
        self.buffers = [torch.cat([b, p.detach().to(b)], dim=1) for b, p in pairs]
        self.used = end
        return tuple(self.buffers)


@wrong
class NumbersNotBytes(LatentCache):
    """`nbytes` counts numbers."""

    @property
    def nbytes(self):
        return sum(buffer.numel() for buffer in self.buffers)


@wrong
class BytesOfOneSequence(LatentCache):
    """`nbytes` of one sequence of the batch."""

    @property
    def nbytes(self):
        return sum(buffer[0].nbytes for buffer in self.buffers)


@wrong
class TwoBytesANumber(LatentCache):
    """`nbytes` as if all were bfloat16."""

    @property
    def nbytes(self):
        return 2 * sum(buffer.numel() for buffer in self.buffers)


@wrong
class SpareBuffers(LatentCache):
    """One row more than the capacity is held."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            shape = self.batch, self.capacity + 1
            self.buffers = [p.new_empty(*shape, p.shape[-1]) for p in parts]
        return written(self, parts, end)


# --- types --------------------------------------------------------------------------------------


@wrong
class AlwaysSingle(LatentCache):
    """Buffers in float32, whatever is appended."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            shape = self.batch, self.capacity
            self.buffers = [torch.zeros(*shape, width) for width in self.widths]
        return written(self, parts, end)


@wrong
class MadeByTheConstructor(LatentCache):
    """Buffers made before anything is known of type and device: bytes before the first append."""

    def __init__(self, batch, capacity, *widths):
        super().__init__(batch, capacity, *widths)
        self.buffers = [torch.zeros(batch, capacity, width) for width in widths]


@wrong
class TypeOfTheLast(LatentCache):
    """The buffers turn to the type of what was appended last."""

    def append(self, *parts):
        end = end_of(self, parts)
        self.buffers = [b.to(p) for b, p in zip(self.buffers, parts, strict=False)]
        return written(self, parts, end)


@wrong
class InHalf(LatentCache):
    """Held in bfloat16 to save memory, and given back in the type that came."""

    def append(self, *parts):
        everything = super().append(*(part.bfloat16() for part in parts))
        return tuple(y.to(part) for y, part in zip(everything, parts, strict=True))


@wrong
class InPlainNumbers(LatentCache):
    """Everything so far as Python's lists."""

    def append(self, *parts):
        return tuple(y.tolist() for y in super().append(*parts))


# --- state --------------------------------------------------------------------------------------


@wrong
class PoolOfBuffers(LatentCache):
    """Buffers are kept for the next cache of the same sizes, also while the first is in use."""

    pool: ClassVar[dict] = {}

    def append(self, *parts):
        key = self.batch, self.capacity, self.widths, parts[0].dtype
        fresh = not self.buffers
        views = super().append(*parts)
        if fresh:
            used = [view.clone() for view in views]
            self.buffers = self.pool.setdefault(key, self.buffers)
            for buffer, rows in zip(self.buffers, used, strict=True):
                buffer[:, : self.used] = rows
        return tuple(buffer[:, : self.used] for buffer in self.buffers)


@wrong
class PushesToTheRight(LatentCache):
    """The newest rows stand at the right end, and all older ones move left in place."""

    def append(self, *parts):
        before = self.used
        views = super().append(*parts)
        length, first = self.used - before, self.capacity - self.used
        if not hasattr(self, "pushed"):
            self.pushed = [buffer.clone() for buffer in self.buffers]
        for pushed, view in zip(self.pushed, views, strict=True):
            pushed[:, first : self.capacity - length] = pushed[:, first + length :].clone()
            pushed[:, self.capacity - length :] = view[:, before:]
        return tuple(pushed[:, first:] for pushed in self.pushed)
