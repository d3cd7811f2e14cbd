"""Right answers to D4.3d generate."""

import torch

from checks.audit.answers import right
from checks.audit.bank.d4_deepseek.generate.steps import generated
from solutions.d3_mla import LatentCache
from solutions.d4_deepseek import sample


@right
def two_loops(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """One loop with caches and one without, no_grad as a context."""
    with torch.no_grad():
        if not use_cache:
            for _ in range(max_new_tokens):
                token = sample(model(ids)[:, -1, :], temperature)
                ids = torch.cat((ids, token.unsqueeze(1)), dim=1)
            return ids
        caches = model.new_caches(batch=ids.shape[0], capacity=ids.shape[1] + max_new_tokens)
        fed = ids
        for _ in range(max_new_tokens):
            fed = sample(model(fed, caches=caches)[:, -1, :], temperature).unsqueeze(1)
            ids = torch.cat((ids, fed), dim=1)
        return ids


@right
@torch.no_grad()
def prompt_first(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt goes in before the loop; the last token goes nowhere."""
    if max_new_tokens == 0:
        return ids
    caches = model.new_caches(len(ids), ids.shape[1] + max_new_tokens) if use_cache else None
    text, logits = ids, model(ids, caches)
    while True:
        new = sample(logits[:, -1], temperature).view(-1, 1)
        text = torch.hstack([text, new])
        if text.shape[1] == ids.shape[1] + max_new_tokens:
            return text
        logits = model(new, caches) if use_cache else model(text)


@right
@torch.no_grad()
def written_into_place(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A tensor for the whole text from the start, filled column by column."""
    rows, length = ids.shape
    text = ids.new_zeros(rows, length + max_new_tokens)
    text[:, :length] = ids
    caches, start = (model.new_caches(rows, text.shape[1]) if use_cache else None), 0
    for end in range(length, text.shape[1]):
        text[:, end] = sample(model(text[:, start:end], caches)[:, -1], temperature)
        start = end if use_cache else 0
    return text


@right
@torch.no_grad()
def what_caches_have_not_seen(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Feeds the text from `len(caches[0])` on; new columns in a list."""
    columns = list(ids.unbind(1))
    caches = model.new_caches(len(ids), len(columns) + max_new_tokens) if use_cache else None
    for _ in range(max_new_tokens):
        seen = len(caches[0]) if use_cache else 0
        logits = model(torch.stack(columns[seen:], dim=1), caches)
        columns.append(sample(logits[:, -1], temperature))
    return torch.stack(columns, dim=1)


@right
@torch.no_grad()
def recursive(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A function that calls itself for the rest."""
    caches = model.new_caches(len(ids), ids.shape[1] + max_new_tokens) if use_cache else None

    def rest(text, fed, left):
        if left == 0:
            return text
        new = sample(model(fed, caches)[:, -1], temperature)[:, None]
        text = torch.cat([text, new], dim=1)
        return rest(text, new if use_cache else text, left - 1)

    return rest(ids, ids, max_new_tokens)


@right
@torch.no_grad()
def no_room_for_the_last(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A cache without room for the last token, which is never fed."""
    room = max(ids.shape[1] + max_new_tokens - 1, 1)
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=room)


@right
@torch.no_grad()
def room_rounded_up(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The capacity rounded up to a multiple of 64."""
    room = -(-(ids.shape[1] + max_new_tokens) // 64) * 64
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=room)


@right
@torch.no_grad()
def caches_of_the_blocks(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The caches made as new_caches makes them, block by block."""
    room, caches, new = ids.shape[1] + max_new_tokens, None, ids
    if use_cache:
        caches = [block.attention.new_cache(len(ids), room) for block in model.blocks]
    for _ in range(max_new_tokens):
        new = sample(model(new if use_cache else ids, caches)[:, -1], temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids


@right
@torch.no_grad()
def caches_by_the_sizes(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """LatentCaches of the sizes that the model's configuration has."""
    room, config, new = ids.shape[1] + max_new_tokens, model.config, ids
    widths = config.d_latent, config.d_rope
    caches = [LatentCache(len(ids), room, *widths) for _ in range(config.num_layers)]
    for _ in range(max_new_tokens):
        logits = model(new, caches) if use_cache else model(ids)
        new = sample(logits[:, -1], temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids


@right
@torch.no_grad()
def mode_put_back(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """In evaluation mode, and back in the mode in which the model came."""
    was_training = model.training
    model.eval()
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    model.train(was_training)
    return text
