"""Wrong answers to D4.3d generate: sizes that nobody asked for, and what is left behind."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.generate.steps import generated, last_sampled
from solutions.d4_deepseek import sample


def windowed(model, ids, max_new_tokens, temperature, size):
    """Generation without caches by the last `size` tokens."""
    for _ in range(max_new_tokens):
        new = sample(model(ids[:, -size:])[:, -1], temperature)
        ids = torch.cat([ids, new[:, None]], dim=1)
    return ids


@wrong
@torch.no_grad()
def last_32_without_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Without caches the last 32 tokens go in."""
    if use_cache:
        return generated(model, ids, max_new_tokens, temperature, True)
    return windowed(model, ids, max_new_tokens, temperature, 32)


@wrong
@torch.no_grad()
def block_of_1024_without_caches(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Without caches the text is cut to a block of 1024 tokens, as nanoGPT does."""
    if use_cache:
        return generated(model, ids, max_new_tokens, temperature, True)
    return windowed(model, ids, max_new_tokens, temperature, 1024)


@wrong
@torch.no_grad()
def room_for_64(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for 64 positions, whatever is asked: a ValueError beyond."""
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=64)


@wrong
@torch.no_grad()
def room_for_1024(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for 1024 positions, whatever is asked: a ValueError beyond."""
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=1024)


@wrong
@torch.no_grad()
def room_for_32_more(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Caches with room for the prompt and 32 tokens: a ValueError where more are asked."""
    room = ids.shape[1] + 32
    return generated(model, ids, max_new_tokens, temperature, use_cache, room=room)


@wrong
@torch.no_grad()
def prompt_token_by_token(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """The prompt goes into the caches one token a call."""
    if not use_cache:
        return generated(model, ids, max_new_tokens, temperature, False)
    caches = model.new_caches(len(ids), ids.shape[1] + max_new_tokens)
    fed, tokens = 0, ids
    while tokens.shape[1] < ids.shape[1] + max_new_tokens:
        logits = model(tokens[:, fed : fed + 1], caches)
        fed += 1
        if fed == tokens.shape[1]:
            tokens = torch.cat([tokens, last_sampled(logits, temperature)[:, None]], dim=1)
    return tokens


@wrong
@torch.no_grad()
def leaves_evaluation_mode(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """`model.eval()`, and the training that goes on afterwards is in evaluation mode."""
    model.eval()
    return generated(model, ids, max_new_tokens, temperature, use_cache)


@wrong
@torch.no_grad()
def leaves_training_mode(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """`model.train()` at the end, for a model that came in evaluation mode too."""
    model.eval()
    text = generated(model, ids, max_new_tokens, temperature, use_cache)
    model.train()
    return text


@wrong
@torch.inference_mode()
def inference_tensors(model, ids, max_new_tokens, *, temperature, use_cache=True):
    """Inference mode in place of no_grad: nothing can learn from the text."""
    return generated(model, ids, max_new_tokens, temperature, use_cache)
