"""Wrong answers to D4.3d generate: which token is taken, and what is returned."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.generate.steps import generated
from solutions.d4_deepseek import sample


@wrong
@torch.no_grad()
def new_tokens_only(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt is left out."""
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    return text[:, ids.shape[1] :]


@wrong
@torch.no_grad()
def newest_token_only(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The last column comes back."""
    return generated(model, ids, max_new_tokens, temperature, use_cache)[:, -1:]


@wrong
@torch.no_grad()
def one_too_many(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """One token more than asked."""
    return generated(model, ids, max_new_tokens + 1, temperature, use_cache)


@wrong
@torch.no_grad()
def one_too_few(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """One token fewer than asked."""
    return generated(model, ids, max(max_new_tokens - 1, 0), temperature, use_cache)


@wrong
@torch.no_grad()
def prompt_counted(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """max_new_tokens taken for the length of the whole text."""
    left = max(max_new_tokens - ids.shape[1], 0)
    return generated(model, ids, left, temperature, use_cache)


@wrong
@torch.no_grad()
def at_least_one(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A token is sampled before the loop: one comes where none is asked for."""
    return generated(model, ids, max(max_new_tokens, 1), temperature, use_cache)


@wrong
@torch.no_grad()
def stops_at_token_zero(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Stops when every row has brought token 0."""
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    ended = (text[:, ids.shape[1] :] == 0).all(dim=0).nonzero().flatten().tolist()
    return text[:, : ids.shape[1] + ended[0] + 1] if ended else text


@wrong
@torch.no_grad()
def stops_at_a_repetition(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Stops when every row repeats its token."""
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    for end in range(ids.shape[1], text.shape[1]):
        if (text[:, end] == text[:, end - 1]).all():
            return text[:, : end + 1]
    return text


@wrong
@torch.no_grad()
def window_of_the_prompt(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The oldest token falls out with each new one."""
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    return text[:, max_new_tokens:]


@wrong
@torch.no_grad()
def newest_first(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """New tokens in front of the text."""
    return generated(
        model,
        ids,
        max_new_tokens,
        temperature,
        use_cache,
        append=lambda ids, new: torch.cat([new, ids], dim=1),
    )


@wrong
@torch.no_grad()
def along_the_batch(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """New tokens as further rows."""
    text = ids
    for _ in range(max_new_tokens):
        text = torch.cat([text, sample(model(text)[:, -1], temperature)[:, None]], dim=0)
    return text


@wrong
@torch.no_grad()
def every_position_appended(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A token sampled at each position fed, and all of them appended."""
    rows, length = ids.shape
    caches = model.new_caches(rows, length + max_new_tokens) if use_cache else None
    new = ids
    for _ in range(max_new_tokens):
        logits = model(new, caches) if use_cache else model(ids)
        tokens = sample(logits.flatten(0, 1), temperature).view(rows, -1)
        ids, new = torch.cat([ids, tokens], dim=1), tokens[:, -1:]
    return ids


@wrong
@torch.no_grad()
def first_position(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Sampled from the first position fed."""
    return generated(
        model,
        ids,
        max_new_tokens,
        temperature,
        use_cache,
        pick=lambda logits, t: sample(logits[:, 0], t),
    )


@wrong
@torch.no_grad()
def mean_of_positions(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Sampled from the mean of the logits fed."""
    return generated(
        model,
        ids,
        max_new_tokens,
        temperature,
        use_cache,
        pick=lambda logits, t: sample(logits.mean(dim=1), t),
    )


@wrong
@torch.no_grad()
def first_row_for_all(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The first row's token is appended to every row."""
    return generated(
        model,
        ids,
        max_new_tokens,
        temperature,
        use_cache,
        pick=lambda logits, t: sample(logits[:1, -1], t).expand(len(logits)),
    )


@wrong
@torch.no_grad()
def greedy(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Always the best token."""
    return generated(model, ids, max_new_tokens, 0.0, use_cache)


@wrong
@torch.no_grad()
def temperature_ignored(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Drawn at temperature 1, at 0 too."""
    return generated(model, ids, max_new_tokens, 1.0, use_cache)


@wrong
@torch.no_grad()
def greedy_or_one(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Greedy at 0, else temperature 1."""
    return generated(model, ids, max_new_tokens, 1.0 if temperature else 0.0, use_cache)


@wrong
@torch.no_grad()
def cooled_twice(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Logits over temperature, and `sample` divides again."""
    return generated(
        model,
        ids,
        max_new_tokens,
        temperature,
        use_cache,
        pick=lambda logits, t: sample(logits[:, -1] / (t or 1), t),
    )


@wrong
@torch.no_grad()
def greedy_after_the_first(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The first token is drawn, the others are the best."""
    caches = model.new_caches(len(ids), ids.shape[1] + max_new_tokens) if use_cache else None
    new = ids
    for i in range(max_new_tokens):
        logits = model(new, caches) if use_cache else model(ids)
        new = sample(logits[:, -1], 0.0 if i else temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids


@wrong
@torch.no_grad()
def prompt_grows(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The caller's own prompt grows."""
    ids.data = generated(model, ids.clone(), max_new_tokens, temperature, use_cache)
    return ids


@wrong
@torch.no_grad()
def one_list(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Lists in place of a tensor."""
    return generated(model, ids, max_new_tokens, temperature, use_cache).tolist()


@wrong
@torch.no_grad()
def as_floats(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Tokens as floats."""
    return generated(model, ids, max_new_tokens, temperature, use_cache).float()


@wrong
@torch.no_grad()
def seeded(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """A seed at each call: the same text each time, and the program's draws with it."""
    torch.manual_seed(42)
    return generated(model, ids, max_new_tokens, temperature, use_cache)


@wrong
@torch.no_grad()
def fed_before_the_loop(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt fills the caches before the loop, and goes in again in its first step."""
    if not use_cache or not max_new_tokens:
        return generated(model, ids, max_new_tokens, temperature, use_cache=False)
    caches = model.new_caches(len(ids), 2 * ids.shape[1] + max_new_tokens)
    model(ids, caches)
    new = ids
    for _ in range(max_new_tokens):
        new = sample(model(new, caches)[:, -1], temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids


@wrong
@torch.no_grad()
def first_rows_tokens(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Every row goes on with the first row's token."""
    for _ in range(max_new_tokens):
        new = sample(model(ids)[:1, -1], temperature).expand(len(ids))
        ids = torch.cat([ids, new[:, None]], dim=1)
    return ids
