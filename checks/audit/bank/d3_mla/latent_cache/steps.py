"""What answers to D3.2 LatentCache are built from."""

import torch


def end_of(cache, parts):
    """Where the new positions end; a ValueError if these parts do not fit."""
    length = parts[0].shape[1] if parts else 0
    if [tuple(p.shape) for p in parts] != [(cache.batch, length, w) for w in cache.widths]:
        raise ValueError(f"parts of other shapes: {[tuple(p.shape) for p in parts]}")
    if cache.used + length > cache.capacity:
        raise ValueError(f"there is room for {cache.capacity - cache.used} more, got {length}")
    return cache.used + length


def full_size(cache, part):
    """An empty buffer for parts like this one."""
    return torch.empty(
        cache.batch, cache.capacity, part.shape[-1], dtype=part.dtype, device=part.device
    )


def written(cache, parts, end):
    """Everything so far, with the parts behind the used rows; nothing is asked."""
    if not cache.buffers:
        cache.buffers = [full_size(cache, part) for part in parts]
    for buffer, part in zip(cache.buffers, parts, strict=True):
        buffer[:, cache.used : end] = part.detach()
    cache.used = end
    return tuple(buffer[:, :end] for buffer in cache.buffers)
