"""Random numbers that are the same each time, and leave those of the notebook as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch draws from `seed`; afterwards it goes on where it was before, with the seed of then."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
