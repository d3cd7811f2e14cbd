"""How answers to D3.3e and D3.4 differ from slow loops: one `at_…` per exercise, as in D1's.

Everything is computed from the weights, one token and one head at a time.
"""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

import solutions.d3_mla as reference
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention
from tests.oracle.comparison import (
    gradient_faults,
    raises_value_error,
    taken,
    tensor_faults,
    type_faults,
    unchanged,
    x_,
)
from tests.oracle.d3_pieces import turns_of

DOUBLE, SINGLE, NARROW = torch.float64, torch.float32, torch.bfloat16
NO_RESULT = {"value is no tensor", "shape or dtype of value"}

# B, L, D, H, d, R, r, options, lengths of chunks, dtype
ATTENTIONS = [
    (2, 5, 10, 3, 4, 6, 4, {}, (2, 3), DOUBLE),
    (3, 4, 8, 2, 3, 5, 6, {"q_latent": 7, "d_value": 4, "theta": 50.0}, (1, 3), DOUBLE),
    (1, 6, 6, 2, 3, 6, 2, {"theta": 100.0}, (1, 2, 3), SINGLE),
    (2, 3, 5, 1, 2, 3, 4, {"d_value": 3}, (2, 1), DOUBLE),
    (2, 4, 6, 2, 4, 5, 4, {"angles": torch.tensor([0.7, 0.3]), "scale": 1.5}, (1, 3), DOUBLE),
    (1, 104, 4, 1, 2, 3, 2, {}, (100, 4), DOUBLE),
    (2, 4, 6, 2, 4, 5, 4, {"scale": 3000.0}, (1, 3), DOUBLE),
]
# B, tokens before, D, H, d, R, r, options, dtype
DECODES = [
    (2, 5, 10, 3, 4, 6, 4, {}, DOUBLE),
    (3, 4, 8, 2, 3, 7, 6, {"q_latent": 7, "d_value": 4, "theta": 50.0}, DOUBLE),
    (1, 3, 6, 2, 3, 5, 2, {"theta": 100.0}, SINGLE),
    (2, 0, 5, 4, 2, 6, 4, {"d_value": 3}, DOUBLE),
    (2, 3, 6, 2, 4, 7, 4, {"angles": torch.tensor([0.7, 0.3]), "scale": 1.5}, DOUBLE),
    (1, 66, 4, 1, 2, 3, 2, {}, DOUBLE),
    (2, 3, 6, 2, 4, 5, 4, {"scale": 3000.0}, DOUBLE),
    (1, 2, 6, 2, 3, 7, 4, {}, NARROW),
]

# --- slow loops ---------------------------------------------------------------------------------


def turned(vector, position, turns):
    """Each pair of neighbours as a complex number, times a number of length 1."""
    numbers = []
    for i in range(0, len(vector), 2):
        angle = position * turns[i // 2]
        a, b = vector[i], vector[i + 1]
        numbers += [a * math.cos(angle) - b * math.sin(angle)]
        numbers += [a * math.sin(angle) + b * math.cos(angle)]
    return torch.stack(numbers)


def normed(vector, weight, eps=1e-6):
    return weight * vector / ((vector * vector).sum() / len(vector) + eps).sqrt()


def told(weights, token, position, turns):
    """What is cached of a token: its normed latent and its turned rotary key."""
    latent = normed(weights["latent.kv_down.weight"] @ token, weights["latent.kv_norm.weight"])
    return latent, turned(weights["rotary_key.k_down.weight"] @ token, position, turns)


def asked(weights, token, position, sizes):
    """Content and turned rotary part of the query of each head."""
    num_heads, d, r, scale, turns = sizes
    if "queries.q_down.weight" in weights:
        token = normed(weights["queries.q_down.weight"] @ token, weights["queries.q_norm.weight"])
    q = scale * (weights["queries.q_up.weight"] @ token)
    heads = [q[h * (d + r) :][: d + r] for h in range(num_heads)]
    return [(head[:d], turned(head[d:], position, turns)) for head in heads]


def attended(weights, queries, latents, keys, d):
    """The output of one token that sees these latents and rotary keys."""
    up, heads = weights["latent.kv_up.weight"], []
    rows = len(up) // len(queries)
    for h, (content, rotary) in enumerate(queries):
        own = up[h * rows : (h + 1) * rows]
        both = [own @ latent for latent in latents]
        scores = [
            (content @ y[:d] + rotary @ key) / math.sqrt(len(content) + len(rotary))
            for y, key in zip(both, keys, strict=True)
        ]
        powers = [(score - max(scores)).exp() for score in scores]
        heads.append(sum(p / sum(powers) * y[d:] for p, y in zip(powers, both, strict=True)))
    return weights["out.weight"] @ torch.cat(heads)


def by_hand(attention, x, sizes, *, cut=False):
    """Outputs (B, L, D), latents (B, L, R) and rotary keys (B, L, r) of whole sequences.

    With `cut` the latents and keys carry no gradient, as in a cache.
    """
    weights, results = dict(attention.named_parameters()), []
    for tokens in x:
        cached = [told(weights, token, i, sizes[-1]) for i, token in enumerate(tokens)]
        latents, keys = zip(*cached, strict=True)
        if cut:
            latents, keys = ([y.detach() for y in part] for part in (latents, keys))
        outputs = [
            attended(
                weights, asked(weights, t, i, sizes), latents[: i + 1], keys[: i + 1], sizes[1]
            )
            for i, t in enumerate(tokens)
        ]
        results.append([torch.stack(list(part)) for part in (outputs, latents, keys)])
    return [torch.stack(part) for part in zip(*results, strict=True)]


# --- what both looks share ----------------------------------------------------------------------


def with_random_norms(attention, dtype):
    """The attention in `dtype`, with norm weights that are not one, as after training."""
    attention = attention.to(dtype)
    for name, weight in attention.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 1.5)
    return attention


def content_faults(cache, latents, keys):
    """Whether the cache holds anything but these latents and rotary keys, in this order."""
    if len(cache) != latents.shape[1]:
        return {"length of the cache"}
    used = [buffer[:, : len(cache)] for buffer in cache.buffers]
    if len(used) != 2:
        return {"parts of the cache"}
    latent, key = used
    return tensor_faults(latent, latents, "latents") | tensor_faults(key, keys, "rotary keys")


def spread(x):
    """A copy with the batch as the second axis in memory."""
    return x.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)


# --- D3.3e --------------------------------------------------------------------------------------


def at_mla(answer, b, l, d_model, heads, d, rank, r, options, chunks, dtype):  # noqa: E741
    options = taken(answer, options)
    attention = answer(d_model, heads, d, rank, r, **options)
    if faults := type_faults(attention):
        return faults
    attention = with_random_norms(attention, dtype)
    sizes = heads, d, r, options.get("scale", 1.0), turns_of(r, options)
    before = [weight.detach().clone() for weight in attention.parameters()]
    x, other = x_(b, l, d_model).to(dtype), x_(b, l, d_model).to(dtype)
    with torch.no_grad():
        wanted, elsewhere = by_hand(attention, x, sizes), by_hand(attention, other, sizes)
        faults = uncached_faults(attention, x, wanted[0])
        for steps in ([l], [1] * l, chunks):
            faults |= cached_faults(attention.train(), x, steps, wanted)
        faults |= cached_faults(attention.eval(), other, chunks, elsewhere)
        faults |= uncached_faults(attention, other, elsewhere[0])
    faults |= unchanged(attention.parameters(), before)
    if faults & NO_RESULT:
        return faults
    x.requires_grad_()
    mine, wanted = attention(x * 1), by_hand(attention, x, sizes)[0]
    return faults | gradient_faults(mine, wanted, [x, *attention.parameters()])


def uncached_faults(attention, x, wanted):
    given = spread(x)
    faults = tensor_faults(attention(given), wanted)
    return faults | unchanged([given], [x])


def cached_faults(attention, x, steps, wanted):
    """Through a cache in steps of these lengths, with a second sequence in its own between."""
    outputs, latents, keys = wanted
    cache, second = (attention.new_cache(len(x), 8 * x.shape[1]) for _ in range(2))
    faults, end = set(), 0
    for step in steps:
        start, end = end, end + step
        given = spread(x[:, start:end])
        faults |= tensor_faults(attention(given, cache), outputs[:, start:end])
        faults |= unchanged([given], [x[:, start:end]])
        faults |= content_faults(cache, latents[:, :end], keys[:, :end])
        if end < x.shape[1]:
            attention(x[:, end : end + 1] * 2, second)
    return faults


# --- D3.4 ---------------------------------------------------------------------------------------


def at_absorbed(answer, b, past, d_model, heads, d, rank, r, options, dtype):
    made = MultiHeadLatentAttention(d_model, heads, d, rank, r, **options)
    attention = with_random_norms(made, dtype)
    sizes = heads, d, r, options.get("scale", 1.0), turns_of(r, options)
    before = [weight.detach().clone() for weight in attention.parameters()]
    x = x_(b, past + 3, d_model).to(dtype)
    with torch.no_grad():
        outputs, latents, keys = by_hand(attention, x, sizes)
        told_before = latents[:, :past], keys[:, :past]
        cache, second = filled_cache(*told_before), LatentCache(b, 6, rank, r)
        faults = set()
        for i in range(past, x.shape[1]):
            given = spread(x[:, i : i + 1])
            faults |= tensor_faults(answer(attention, given, cache), outputs[:, i : i + 1])
            faults |= unchanged([given], [x[:, i : i + 1]])
            faults |= content_faults(cache, latents[:, : i + 1], keys[:, : i + 1])
            answer(attention, given * 2, second)
    faults |= unchanged(attention.parameters(), before)
    if faults & NO_RESULT:
        return faults
    faults |= refusal_faults(answer, attention, x[:, past : past + 2], filled_cache(*told_before))
    faults |= work_faults(answer, attention, x, (heads, rank, r))
    x = x[:, : past + 1].clone().requires_grad_()
    mine = answer(attention, x[:, past:] * 1, filled_cache(*told_before))
    wanted = by_hand(attention, x, sizes, cut=True)[0][:, past:]
    return faults | gradient_faults(mine, wanted, [x, *attention.parameters()])


def filled_cache(latents, keys):
    """A cache of these latents and rotary keys, with room for six positions more."""
    batch, past, rank = latents.shape
    cache = LatentCache(batch, past + 6, rank, keys.shape[-1])
    if past:
        cache.append(latents, keys)
    return cache


def refusal_faults(answer, attention, two, cache):
    """Whether two positions at once are taken, or leave a trace in the cache."""
    past = len(cache)
    refused = raises_value_error(answer, attention, two, cache)
    return set() if refused and len(cache) == past else {"no refusal"}


def work_faults(answer, attention, x, sizes):
    """Whether a cached position costs more products than scores and mixing in the latent's space.

    They are R + r for the scores of a head and R, or with r a filling of zeros, to mix; to expand
    keys or values of a head takes R more for each of their numbers.
    """
    heads, *widths = sizes
    near, far = (products(answer, attention, x, past, widths) for past in (40, 80))
    return {"expands"} if far - near > 40 * len(x) * heads * 2 * sum(widths) else set()


def products(answer, attention, x, past, widths):
    """Multiplications of one decoding step with `past` positions in the cache."""
    cache = LatentCache(len(x), past + 2, *widths)
    cache.append(*(torch.ones(len(x), past, width).to(x) for width in widths))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer(attention, x[:, :1], cache)
    return counter.get_total_flops() // 2


LOOKS = {"D3.3e": (at_mla, ATTENTIONS), "D3.4": (at_absorbed, DECODES)}
PUBLIC = {"D3.3e": reference.MultiHeadLatentAttention, "D3.4": reference.absorbed_decode}
