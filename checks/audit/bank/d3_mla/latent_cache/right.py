"""Right answers to D3.2 LatentCache."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.latent_cache.steps import end_of, full_size
from helpers.model.attention_sizes import validate_sizes
from solutions.d3_mla import LatentCache

EQUIVALENT_MUTANTS = {
    (
        "buffer[:, self.used:end] = part.detach() → buffer[:, self.used:end] = part"
    ): "what is cached is read without gradients; the contract is about numbers",
    (
        "for buffer, part in zip(self.buffers, parts, strict=True): → "
        "for buffer, part in zip(self.buffers, parts):"
    ): "the number of parts was compared before",
    (
        "length = max((part.shape[1] for part in parts if part.ndim == 3), default=0) → "
        "length = max((part.shape[1] for part in parts if part.ndim == 3))"
    ): "max of nothing is a ValueError too",
}


@right
class RoomFirst(LatentCache):
    """Room is asked about before shapes, part by part; slices are assigned."""

    def append(self, *parts):
        if len(parts) != len(self.widths):
            raise ValueError(f"{len(self.widths)} parts are wanted, got {len(parts)}")
        new = parts[0].shape[1]
        if new > self.capacity - self.used:
            raise ValueError(f"{new} positions do not fit into {self.capacity - self.used}")
        for part, width in zip(parts, self.widths, strict=True):
            if part.shape != (self.batch, new, width):
                raise ValueError(f"a part of width {width} came as {tuple(part.shape)}")
        if not self.buffers:
            self.buffers = [full_size(self, part) for part in parts]
        for i, part in enumerate(parts):
            self.buffers[i][:, self.used : self.used + new] = part.detach()
        self.used += new
        return tuple(buffer[:, : self.used] for buffer in self.buffers)


@right
class Indexed(LatentCache):
    """index_copy_ along the positions, under no_grad."""

    @torch.no_grad()
    def append(self, *parts):
        end = end_of(self, parts)
        if self.buffers == []:
            self.buffers = [full_size(self, part) for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            places = torch.arange(self.used, end, device=buffer.device)
            buffer.index_copy_(1, places, part.to(buffer.dtype))
        self.used = end
        return tuple(buffer[:, :end, :] for buffer in self.buffers)


@right
class IndexedAsItComes(LatentCache):
    """index_copy_ of the part itself, which wants one type from first to last."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            self.buffers = [full_size(self, part) for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer.index_copy_(1, torch.arange(self.used, end, device=part.device), part.detach())
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@right
class Narrowed(LatentCache):
    """narrow and copy_, the gradient left behind by .data."""

    def append(self, *parts):
        start, self.used = self.used, end_of(self, parts)
        if start == 0:
            self.buffers = [full_size(self, part) for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer.narrow(1, start, self.used - start).copy_(part.data)
        return tuple(buffer.narrow(1, 0, self.used) for buffer in self.buffers)


@right
class Joined(LatentCache):
    """torch.cat of used rows, new rows and what is left free: a new buffer of full size."""

    def append(self, *parts):
        end = end_of(self, parts)
        old = self.buffers or [full_size(self, part) for part in parts]
        self.buffers = [
            torch.cat([b[:, : self.used], p.detach().to(b), b[:, end:]], dim=1)
            for b, p in zip(old, parts, strict=True)
        ]
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@right
class OneBufferCutInParts(LatentCache):
    """One wide buffer; each part has its columns of it."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            wide = parts[0].new_zeros(self.batch, self.capacity, sum(self.widths))
            self.buffers = list(wide.split(self.widths, dim=-1))
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : end].copy_(part.detach())
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)


@right
class PositionsFirstInMemory(LatentCache):
    """Memory in which positions come first, shown as (batch, capacity, width)."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            memory = [p.new_empty(self.capacity, self.batch, p.shape[-1]) for p in parts]
            self.buffers = [buffer.transpose(0, 1) for buffer in memory]
        for buffer, part in zip(self.buffers, parts, strict=True):
            for place, row in enumerate(part.detach().unbind(1), start=self.used):
                buffer[:, place] = row
        self.used = end
        return tuple(buffer.transpose(0, 1)[:end].transpose(0, 1) for buffer in self.buffers)


@right
class PaddedAndChosen(LatentCache):
    """The new rows padded to full size; torch.where picks them or what was there."""

    def append(self, *parts):
        end, made = end_of(self, parts), []
        if not self.buffers:
            self.buffers = [full_size(self, part) for part in parts]
        place = torch.arange(self.capacity, device=parts[0].device)[:, None]
        for buffer, part in zip(self.buffers, parts, strict=True):
            wide = F.pad(part.detach(), (0, 0, self.used, self.capacity - end)).to(buffer)
            made.append(torch.where((place >= self.used) & (place < end), wide, buffer))
        self.buffers, self.used = made, end
        return tuple(buffer[:, :end] for buffer in made)


@right
class WrittenAnew:
    """A class of one's own: a dictionary of buffers, counted row by row."""

    def __init__(self, batch, capacity, *widths):
        validate_sizes(batch=batch, capacity=capacity, width=min(widths, default=0))
        self.batch, self.capacity, self.widths = batch, capacity, widths
        self.held, self.used = {}, 0

    def __len__(self):
        return self.used

    @property
    def nbytes(self):
        return sum(b.numel() * b.element_size() for b in self.held.values())

    def append(self, *parts):
        end = end_of(self, parts)
        for i, part in enumerate(parts):
            buffer = self.held.setdefault(i, full_size(self, part))
            with torch.no_grad():
                for row in range(self.batch):
                    buffer[row, self.used : end] = part[row]
        self.used = end
        return tuple(self.held[i][:, :end] for i in range(len(parts)))
