"""Wrong answers to D3.2 LatentCache: copies in place of views, dimensions that are not asked."""

from checks.audit.answers import wrong
from solutions.d3_mla import LatentCache


@wrong
class CopiesEverything(LatentCache):
    """Each append returns a copy of all that is cached."""

    def append(self, *parts):
        return tuple(view.clone() for view in super().append(*parts))


@wrong
class DimensionsNotAsked(LatentCache):
    """Batch, length and width are compared, and not how many dimensions a part has."""

    def append(self, *parts):
        if len(parts) != len(self.widths):
            raise ValueError("one part per width")
        length = parts[0].shape[1]
        for part, width in zip(parts, self.widths, strict=True):
            if (part.shape[0], part.shape[1], part.shape[-1]) != (self.batch, length, width):
                raise ValueError("another shape")
        if self.used + length > self.capacity:
            raise ValueError("no room")
        if not self.buffers:
            self.buffers = [p.new_empty(self.batch, self.capacity, p.shape[-1]) for p in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : self.used + length] = part.detach()
        self.used += length
        return tuple(buffer[:, : self.used] for buffer in self.buffers)
