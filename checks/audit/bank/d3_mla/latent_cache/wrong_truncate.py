"""Wrong answers to D3.2 LatentCache: a count that `truncate` does not know."""

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latent_cache.steps import end_of, full_size
from solutions.d3_mla import LatentCache


@wrong
class CountsForItself(LatentCache):
    """A count of its own says where to write; `used` only follows it."""

    end = 0

    def append(self, *parts):
        start = self.end
        self.used = start
        self.end = end_of(self, parts)
        if not self.buffers:
            self.buffers = [full_size(self, part) for part in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, start : self.end] = part.detach()
        self.used = self.end
        return tuple(buffer[:, : self.end] for buffer in self.buffers)


@wrong
class ListsOfParts(LatentCache):
    """The parts in lists, joined anew each time: what is truncated comes back."""

    def append(self, *parts):
        end = end_of(self, parts)
        if not self.buffers:
            self.buffers, self.kept = [full_size(self, part) for part in parts], []
        self.kept.append([part.detach().to(self.buffers[0].dtype) for part in parts])
        for i, buffer in enumerate(self.buffers):
            rows = [given[i] for given in self.kept]
            start = 0
            for row in rows:
                buffer[:, start : start + row.shape[1]] = row[:, : self.capacity - start]
                start = min(start + row.shape[1], self.capacity)
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)
