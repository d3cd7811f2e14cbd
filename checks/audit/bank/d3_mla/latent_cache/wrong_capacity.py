"""Wrong answers to D3.2 LatentCache: no room, and what a refusal leaves behind."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latent_cache.steps import full_size, written
from solutions.d3_mla import LatentCache


def refuse_other_shapes(cache, parts):
    """A ValueError for parts of other shapes; room is not asked about."""
    length = parts[0].shape[1] if parts else 0
    if [tuple(p.shape) for p in parts] != [(cache.batch, length, w) for w in cache.widths]:
        raise ValueError(f"parts of other shapes: {[tuple(p.shape) for p in parts]}")
    return length


# --- no room ------------------------------------------------------------------------------------


@wrong
class GrowsSilently(LatentCache):
    """torch.cat past the capacity, without a word."""

    def append(self, *parts):
        length = refuse_other_shapes(self, parts)
        held = self.buffers or [p[:, :0] for p in parts]
        pairs = zip(held, parts, strict=True)
        self.buffers = [torch.cat([b, p.detach().to(b)], dim=1) for b, p in pairs]
        self.used += length
        return tuple(self.buffers)

    @property
    def nbytes(self):
        return sum(b.nbytes // b.shape[1] for b in self.buffers) * self.capacity


@wrong
class DoublesWhenFull(LatentCache):
    """A full cache doubles its capacity, as Python's list does."""

    def append(self, *parts):
        length = refuse_other_shapes(self, parts)
        while self.used + length > self.capacity:
            self.buffers = [torch.cat([b, torch.empty_like(b)], dim=1) for b in self.buffers]
            self.capacity *= 2
        return written(self, parts, self.used + length)


@wrong
class DropsTheOldest(LatentCache):
    """A sliding window: the oldest positions make room."""

    def append(self, *parts):
        over = self.used + refuse_other_shapes(self, parts) - self.capacity
        if over > 0:
            self.buffers = [buffer.roll(-over, dims=1) for buffer in self.buffers]
            self.used = max(self.used - over, 0)
        kept = [part[:, -self.capacity :] for part in parts]
        return written(self, kept, self.used + kept[0].shape[1])


@wrong
class StartsOverWhenFull(LatentCache):
    """A full cache is emptied and begun again."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) > self.capacity:
            self.used, self.buffers = 0, []
        return super().append(*parts)


@wrong
class KeepsWhatFits(LatentCache):
    """The positions that still fit are kept, the others dropped."""

    def append(self, *parts):
        refuse_other_shapes(self, parts)
        room = self.capacity - self.used
        return super().append(*(part[:, :room] for part in parts))


@wrong
class SilentWhenFull(LatentCache):
    """No room: what is there comes back, and nothing is said."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) > self.capacity:
            return tuple(buffer[:, : self.used] for buffer in self.buffers)
        return super().append(*parts)


@wrong
class NothingWhenFull(LatentCache):
    """None when there is no room."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) > self.capacity:
            return None
        return super().append(*parts)


@wrong
class OneTooEarly(LatentCache):
    """`>=`: the last position can never be used."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) >= self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions")
        return super().append(*parts)


@wrong
class OneTooLate(LatentCache):
    """One position too many passes the question and fails in the slice, as a RuntimeError."""

    def append(self, *parts):
        end = self.used + refuse_other_shapes(self, parts)
        if end > self.capacity + 1:
            raise ValueError(f"the cache holds {self.capacity} positions, and {end} are needed")
        return written(self, parts, end)


@wrong
class AsksAboutThisAppendAlone(LatentCache):
    """The length of this append is held against the capacity, not the sum."""

    def append(self, *parts):
        length = refuse_other_shapes(self, parts)
        if length > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, got {length}")
        return written(self, parts, self.used + length)


@wrong
class RefusesOnlyWhenFull(LatentCache):
    """Refuses when no row is free, and not when some are but too few."""

    def append(self, *parts):
        length = refuse_other_shapes(self, parts)
        if self.used >= self.capacity:
            raise ValueError("the cache is full")
        return written(self, parts, self.used + length)


@wrong
class IndexErrorWhenFull(LatentCache):
    """An IndexError when there is no room."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) > self.capacity:
            raise IndexError("the cache is full")
        return super().append(*parts)


@wrong
class Asserts(LatentCache):
    """`assert`: an AssertionError, and none under python -O."""

    def append(self, *parts):
        length = parts[0].shape[1]
        assert self.used + length <= self.capacity, "the cache is full"
        for part, width in zip(parts, self.widths, strict=True):
            assert part.shape == (self.batch, length, width), "a part has another shape"
        return super().append(*parts)


@wrong
class LeftToTorch(LatentCache):
    """Nothing is asked: torch's RuntimeError speaks, after the first part may have been written."""

    def append(self, *parts):
        return written(self, parts, self.used + parts[0].shape[1])


# --- what a refusal leaves behind ---------------------------------------------------------------


@wrong
class MovesOnThenRefuses(LatentCache):
    """`used` is moved before the question about room."""

    def append(self, *parts):
        length = refuse_other_shapes(self, parts)
        self.used += length
        if self.used > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions")
        self.used -= length
        return super().append(*parts)


@wrong
class EmptiedByRefusal(LatentCache):
    """A refusal empties the cache."""

    def append(self, *parts):
        if self.used + refuse_other_shapes(self, parts) > self.capacity:
            self.used, self.buffers = 0, []
            raise ValueError(f"the cache holds {self.capacity} positions")
        return super().append(*parts)


@wrong
class FillsUpThenRefuses(LatentCache):
    """What fits is written, and only the rest is refused."""

    def append(self, *parts):
        room = self.capacity - self.used
        if refuse_other_shapes(self, parts) > room:
            written(self, [part[:, :room] for part in parts], self.capacity)
            raise ValueError(f"only {room} positions fitted")
        return super().append(*parts)


@wrong
class PartByPart(LatentCache):
    """Each part is asked about when its turn comes: a bad second one leaves the first longer."""

    def append(self, *parts):
        length = parts[0].shape[1] if parts else 0
        if len(parts) != len(self.widths) or self.used + length > self.capacity:
            raise ValueError("the parts do not fit")
        if not self.buffers:
            self.buffers = [full_size(self, part) for part in parts]
        start = self.used
        for buffer, part, width in zip(self.buffers, parts, self.widths, strict=True):
            if part.shape != (self.batch, length, width):
                raise ValueError(f"a part of width {width} came as {tuple(part.shape)}")
            buffer[:, start : start + length] = part.detach()
            self.used = start + length
        return tuple(buffer[:, : self.used] for buffer in self.buffers)
