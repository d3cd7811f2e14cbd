"""Wrong answers to D4.3d generate: what the model is fed, with caches and without."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.generate.steps import generated
from solutions.d4_deepseek import sample


def stepwise(model, ids, max_new_tokens, temperature, logits_of):
    """Generation with `logits_of(text, new)` for what is fed."""
    new = ids
    for _ in range(max_new_tokens):
        new = sample(logits_of(ids, new)[:, -1], temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids


def caches_for(model, ids, max_new_tokens):
    """Empty caches with room for the whole text."""
    return model.new_caches(len(ids), ids.shape[1] + max_new_tokens)


@wrong
@torch.no_grad()
def never_cached(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The whole text goes in each time, whatever use_cache says."""
    return generated(model, ids, max_new_tokens, temperature, False)


@wrong
@torch.no_grad()
def always_cached(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """With caches, whatever use_cache says."""
    return generated(model, ids, max_new_tokens, temperature, True)


@wrong
@torch.no_grad()
def cached_if_told_not_to(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """use_cache the other way round."""
    return generated(model, ids, max_new_tokens, temperature, not use_cache)


@wrong
@torch.no_grad()
def whole_text_into_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The whole text goes in each time, behind what the caches hold."""
    room = (ids.shape[1] + max_new_tokens) * (max_new_tokens + 1)
    caches = model.new_caches(len(ids), room) if use_cache else None
    return stepwise(model, ids, max_new_tokens, temperature, lambda text, new: model(text, caches))


@wrong
@torch.no_grad()
def new_caches_for_the_text(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """New caches in each step, and the whole text into them: the right tokens, nothing saved."""

    def logits_of(text, new):
        return model(text, caches_for(model, text, 1) if use_cache else None)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def new_caches_for_a_token(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """New caches in each step, and the newest token alone: the text is forgotten."""

    def logits_of(text, new):
        return model(new, caches_for(model, new, 1)) if use_cache else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def last_of_the_prompt(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Only the last token of the prompt goes into the caches."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None

    def logits_of(text, new):
        return model(new[:, -1:], caches) if use_cache else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def first_of_the_prompt(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Only the first token of the prompt goes into the caches."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None

    def logits_of(text, new):
        return model(new[:, :1], caches) if use_cache else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def last_of_the_prompt_twice(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt warms the caches, and its last token goes in again."""
    caches = caches_for(model, ids, max_new_tokens + 1) if use_cache else None
    if use_cache:
        model(ids, caches)

    def logits_of(text, new):
        return model(text[:, -1:], caches) if use_cache else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def prompt_without_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt goes in without the caches, which then know new tokens only."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None

    def logits_of(text, new):
        return model(new, caches) if use_cache and new is not ids else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def last_two_tokens(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Each later step feeds the last two tokens, of which the caches know one."""
    caches = caches_for(model, ids, 2 * max_new_tokens) if use_cache else None

    def logits_of(text, new):
        if not use_cache:
            return model(text)
        return model(text if new is ids else text[:, -2:], caches)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def newest_without_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Without caches the newest token goes in alone too."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None
    return stepwise(model, ids, max_new_tokens, temperature, lambda text, new: model(new, caches))


@wrong
@torch.no_grad()
def prompt_again_and_again(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Without caches the prompt goes in each time, never the text."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None

    def logits_of(text, new):
        return model(new, caches) if use_cache else model(ids)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def last_eight_without_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Without caches the last eight tokens go in."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None

    def logits_of(text, new):
        return model(new, caches) if use_cache else model(text[:, -8:])

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def room_for_the_prompt(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for the prompt: a ValueError at the second new token."""
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=ids.shape[1])


@wrong
@torch.no_grad()
def room_for_new_tokens(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for the new tokens: a ValueError where the prompt has more than one."""
    room = max(max_new_tokens, 1)
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=room)


@wrong
@torch.no_grad()
def room_for_eight(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for eight positions: a ValueError beyond."""
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=8)


@wrong
@torch.no_grad()
def caches_of_one_row(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches for a batch of one: a ValueError where there are more."""
    room = ids.shape[1] + max_new_tokens
    caches = model.new_caches(1, room) if use_cache else None

    def logits_of(text, new):
        return model(new, caches) if use_cache else model(text)

    return stepwise(model, ids, max_new_tokens, temperature, logits_of)


@wrong
@torch.no_grad()
def caches_of_the_last_call(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches kept with the model: the next text goes behind the last one."""
    if not use_cache:
        return generated(model, ids, max_new_tokens, temperature, False)
    if not hasattr(model, "caches"):
        model.caches = model.new_caches(len(ids), 1000)
    caches = model.caches
    return stepwise(model, ids, max_new_tokens, temperature, lambda text, new: model(new, caches))


@wrong
@torch.no_grad()
def one_cache_for_all_layers(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The first block's cache is handed to every block."""
    caches = caches_for(model, ids, max_new_tokens) if use_cache else None
    if caches is not None:
        caches = caches[:1] * len(caches)
    return stepwise(
        model,
        ids,
        max_new_tokens,
        temperature,
        lambda text, new: model(new, caches) if use_cache else model(text),
    )


@wrong
@torch.no_grad()
def one_token_for_none(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """With the cache, the prompt's next token comes where none is asked for."""
    new = max(max_new_tokens, 1) if use_cache else max_new_tokens
    return generated(model, ids, new, temperature, use_cache)
