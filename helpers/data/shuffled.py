"""A shuffled order that takes no memory: where entry i lies is computed, not kept."""

import hashlib


class Shuffled:
    """A permutation of `range(count)` by `seed`; `shuffled[i]` costs the same for any count.

    Four rounds of a Feistel network over the next even power of two mix the index, and what falls
    outside the range is mixed again (Black and Rogaway 2002, "Ciphers with arbitrary finite
    domains", cycle walking).
    """

    def __init__(self, count: int, seed: int):
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count, self.seed = count, seed
        self.half = max(1, ((count - 1).bit_length() + 1) // 2)  # bits of each half of an index

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> int:
        if not 0 <= i < self.count:
            raise IndexError(f"i must be from 0 to {self.count - 1}, got {i}")
        i = self._mixed(i)
        while i >= self.count:
            i = self._mixed(i)
        return i

    def _mixed(self, i: int) -> int:
        left, right = i >> self.half, i & ((1 << self.half) - 1)
        for round in range(4):
            left, right = right, left ^ self._noise(round, right)
        return left << self.half | right

    def _noise(self, round: int, value: int) -> int:
        found = hashlib.blake2b(f"{self.seed} {round} {value}".encode(), digest_size=8).digest()
        return int.from_bytes(found, "big") & ((1 << self.half) - 1)
