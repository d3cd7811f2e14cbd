"""What answers to D4.3d generate are built from."""

import torch

from solutions.d4_deepseek import sample


def last_sampled(logits, temperature):
    """A token for each row, sampled from the last position."""
    return sample(logits[:, -1], temperature)


def joined(ids, new):
    """The new column behind the text."""
    return torch.cat([ids, new], dim=1)


def generated(
    model,
    ids,
    max_new_tokens,
    temperature,
    use_cache,
    *,
    room=None,
    pick=last_sampled,
    append=joined,
):
    """Generation in steps, of which an answer may replace some; `room` is the cache's capacity."""
    room = ids.shape[1] + max_new_tokens if room is None else room
    caches = model.new_caches(len(ids), room) if use_cache else None
    new = ids
    for _ in range(max_new_tokens):
        logits = model(new, caches) if use_cache else model(ids)
        new = pick(logits, temperature)[:, None]
        ids = append(ids, new)
    return ids
