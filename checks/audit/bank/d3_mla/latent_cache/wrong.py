"""Wrong answers to D3.2 LatentCache: what is written and what comes back."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latent_cache.steps import end_of, full_size
from solutions.d3_mla import LatentCache


@wrong
class NewOnly(LatentCache):
    """Only the new positions come back."""

    def append(self, *parts):
        start = self.used
        return tuple(y[:, start:] for y in super().append(*parts))


@wrong
class AllOfTheBuffer(LatentCache):
    """The whole buffers come back, unused rows too."""

    def append(self, *parts):
        super().append(*parts)
        return tuple(self.buffers)


@wrong
class FromTheFront(LatentCache):
    """New rows are written from row 0, over the old ones."""

    def append(self, *parts):
        end = end_of(self, parts)
        self.buffers = self.buffers or [full_size(self, part).zero_() for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, : part.shape[1]] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class OverTheLastRow(LatentCache):
    """Writes from the last used row, which is lost."""

    def append(self, *parts):
        end = end_of(self, parts)
        self.buffers = self.buffers or [full_size(self, part).zero_() for part in parts]
        start = max(self.used - 1, 0)
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, start : start + part.shape[1]] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class OneRowFree(LatentCache):
    """Writes from one row behind the used ones: row 0 is never written."""

    def append(self, *parts):
        end = end_of(self, parts)
        if end == self.capacity:
            raise ValueError("the last row stays free")
        self.buffers = self.buffers or [full_size(self, part).zero_() for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used + 1 : end + 1] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class CountsAppends(LatentCache):
    """One more a call, however many positions came: right for single tokens alone."""

    def append(self, *parts):
        end, start = end_of(self, parts), self.used
        self.buffers = self.buffers or [full_size(self, part).zero_() for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, start:end] = part.detach()
        self.used += 1
        return tuple(buffer[:, : self.used] for buffer in self.buffers)


@wrong
class LengthIsNumberOfCalls(LatentCache):
    """Everything comes back, and `len` counts the calls."""

    calls = 0

    def __len__(self):
        return self.calls

    def append(self, *parts):
        everything = super().append(*parts)
        self.calls += 1
        return everything


@wrong
class LengthIsCapacity(LatentCache):
    """`len` is the room there is, used or not."""

    def __len__(self):
        return self.capacity if self.buffers else 0


@wrong
class MovesOnForEachPart(LatentCache):
    """`used` grows inside the loop over the parts: the second part is written further back."""

    def append(self, *parts):
        length = end_of(self, parts) - self.used
        self.buffers = self.buffers or [full_size(self, part).zero_() for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : self.used + length] = part.detach()[:, : self.capacity]
            self.used += length
        return tuple(buffer[:, : self.used] for buffer in self.buffers)


@wrong
class NeverMovesOn(LatentCache):
    """`used` stays 0: every append is the first."""

    def append(self, *parts):
        everything = super().append(*parts)
        self.used = 0
        return everything


@wrong
class NewestFirst(LatentCache):
    """The new positions in front of the old ones."""

    def append(self, *parts):
        length = end_of(self, parts) - self.used
        return tuple(y.roll(length, dims=1) for y in super().append(*parts))


@wrong
class AlongTheBatch(LatentCache):
    """New rows stacked under the old ones along the batch."""

    def append(self, *parts):
        end = end_of(self, parts)
        old = self.buffers or [part.detach()[:0] for part in parts]
        self.buffers = [torch.cat([b, p.detach()]) for b, p in zip(old, parts, strict=True)]
        self.used = end
        return tuple(self.buffers)


@wrong
class BuffersMadeEachTime(LatentCache):
    """New buffers at each append: what was there is zeros."""

    def append(self, *parts):
        start, end = self.used, end_of(self, parts)
        self.buffers = [full_size(self, part).zero_() for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, start:end] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class PartsReversed(LatentCache):
    """The last part comes back first."""

    def append(self, *parts):
        return super().append(*parts)[::-1]


@wrong
class FirstPartOnly(LatentCache):
    """A return inside the loop: one part comes back, and one is written."""

    def append(self, *parts):
        end = end_of(self, parts)
        self.buffers = self.buffers or [full_size(self, part) for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : end] = part.detach()
            self.used = end
            return (buffer[:, :end],)


@wrong
class PartsSideBySide(LatentCache):
    """All parts in one tensor of the summed width."""

    def append(self, *parts):
        return torch.cat(super().append(*parts), dim=-1)


@wrong
class OneBufferForAll(LatentCache):
    """`[buffer] * n`: n names for one buffer, the last part in it."""

    def append(self, *parts):
        end = end_of(self, parts)
        self.buffers = self.buffers or [full_size(self, parts[0])] * len(parts)
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : end] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class FirstPartInAll(LatentCache):
    """`parts[0]` written into every buffer, cut or filled up to its width."""

    def append(self, *parts):
        end_of(self, parts)
        wide = parts[0].repeat(1, 1, max(self.widths))
        return super().append(*(wide[..., : p.shape[-1]] for p in parts))


_buffers: dict[tuple[int, ...], list[torch.Tensor]] = {}


@wrong
class BuffersOfTheClass(LatentCache):
    """Buffers kept with the class: caches of one size write into each other."""

    def append(self, *parts):
        end = end_of(self, parts)
        made = [full_size(self, part) for part in parts]
        self.buffers = _buffers.setdefault((self.batch, self.capacity, *self.widths), made)
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : end] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@wrong
class KeepsWhatItWasGiven(LatentCache):
    """The given tensors themselves, joined on demand: the caller's later changes come through."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.used:
            self.pieces = [[] for _ in parts]
            self.buffers = [full_size(self, part) for part in parts]  # only to be counted
        for pieces, part in zip(self.pieces, parts, strict=True):
            pieces.append(part.detach())
        self.used = end
        return tuple(torch.cat(pieces, dim=1) for pieces in self.pieces)


@wrong
class DetachesTheInput(LatentCache):
    """`detach_()`: the caller's own tensor loses its gradient."""

    def append(self, *parts):
        return super().append(*(part.detach_() for part in parts))


@wrong
class EmptiesTheInput(LatentCache):
    """What is cached is taken from the caller: the given tensors come back as zeros."""

    def append(self, *parts):
        everything = super().append(*parts)
        for part in parts:
            part.detach().zero_()
        return everything


@wrong
class WritesIntoOneRow(LatentCache):
    """The batch is ignored: every row of it holds the first."""

    def append(self, *parts):
        end_of(self, parts)
        return super().append(*(part[:1].expand_as(part) for part in parts))
