"""How answers to D4.1, D4.2 and D4.I1 differ from slow loops: one `at_…` per exercise, as in D1's.

A look ends with the first stage that finds a fault.
"""

import inspect
from dataclasses import replace

import torch

import solutions.d4_deepseek as reference
from helpers.model.deepseek_config import DeepSeekConfig
from tests.oracle.comparison import gradient_faults, tensor_faults, unchanged, x_
from tests.oracle.d4_model_by_hand import block_by_hand, counted_by_hand, model_by_hand, mtp_by_hand

DOUBLE, SINGLE = torch.float64, torch.float32

# --- ways to differ -----------------------------------------------------------------------------


def part_faults(module, wanted):
    """Whether names, shapes, types, buffers, options or what learns differ from the reference's."""
    return set() if parts_of(module) == parts_of(wanted) else {"parameters"}


def parts_of(module):
    state = module.state_dict().items()
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state}
    learns = {name for name, weight in module.named_parameters() if weight.requires_grad}
    options = [
        (name, option, getattr(part, option))
        for name, part in module.named_modules()
        for option in ("theta", "affinity", "renormalise", "num_groups", "top_groups")
        if hasattr(part, option)
    ]
    return shapes, learns, sorted(options)


def with_random_weights(module, dtype):
    """The module in `dtype`, with norms, biases and embedding that are not those of the start."""
    for name, weight in module.state_dict().items():
        if "norm" in name:
            weight.uniform_(0.5, 1.5)
        elif "bias" in name or "embed" in name:
            weight.normal_()
    return module.to(dtype)


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def state_faults(module, before):
    after = module.state_dict()
    same = list(after) == list(before) and all(torch.equal(after[n], before[n]) for n in before)
    return set() if same else {"weights or buffers changed"}


def content_faults(cache, wanted):
    """Whether a cache holds anything but these latents and rotary keys, in this order."""
    if len(cache) != wanted[0].shape[1] or len(cache.buffers) != 2:
        return {"length of the cache"}
    pairs = zip(cache.buffers, wanted, strict=True)
    return set().union(*(tensor_faults(a[:, : len(cache)], b, "cache") for a, b in pairs))


def choice_faults(block, wanted):
    if not wanted:
        return set()
    mine = block.ffn.last_experts.sort(dim=1).values.tolist()
    return set() if mine == wanted else {"last_experts"}


def rows_(b, l, d, dtype):  # noqa: E741
    """(B, L, D), not contiguous."""
    return x_(l, b, d).transpose(0, 1).to(dtype)


# --- D4.1 ---------------------------------------------------------------------------------------


def at_block(answer, config, layer, b, l, chunks, dtype):  # noqa: E741
    block = answer(config, layer)
    if faults := part_faults(block, reference.DeepSeekBlock(config, layer)):
        return faults
    block = with_random_weights(block, dtype)
    before = state_of(block)
    for training, ways in ((True, ([l], chunks)), (False, (chunks,))):
        x = rows_(b, l, config.d_model, dtype)
        with torch.no_grad():
            wanted = block_by_hand(block.train(training), x, config.norm_eps)
            faults = plain_block_faults(block, x, wanted)
            for steps in ways:
                faults = faults or cached_block_faults(block, x, steps, wanted)
        if faults := faults | state_faults(block, before):
            return faults
    x = x.clone().requires_grad_()
    wanted = block_by_hand(block, x, config.norm_eps)[0]
    return gradient_faults(block.train()(x * 1), wanted, [x, *block.parameters()])


def plain_block_faults(block, x, wanted):
    given = x.clone()
    faults = tensor_faults(block(given), wanted[0])
    return faults | choice_faults(block, wanted[2]) | unchanged([given], [x])


def cached_block_faults(block, x, steps, wanted):
    """Through a cache in steps of these lengths, with other rows in a second one between."""
    outputs, told, _ = wanted
    cache, second = (block.attention.new_cache(len(x), 8 * x.shape[1]) for _ in range(2))
    faults, end = set(), 0
    for step in steps:
        start, end = end, end + step
        given = x[:, start:end].clone()
        faults |= tensor_faults(block(given, cache), outputs[:, start:end])
        faults |= unchanged([given], [x[:, start:end]])
        faults |= content_faults(cache, [part[:, :end] for part in told])
        if faults:
            return faults
        block(x[:, :1] * 2, cache=second)
    return faults


# --- D4.2a --------------------------------------------------------------------------------------


def at_stack(answer, config, b, l, chunks, dtype):  # noqa: E741
    model = answer(config)
    if faults := part_faults(model, reference.DeepSeek(config)):
        return faults
    model = with_random_weights(model, dtype)
    before = state_of(model)
    for training, ways in ((True, ([l], chunks)), (False, (chunks,))):
        ids = torch.randint(config.vocab_size, (l, b)).T
        with torch.no_grad():
            wanted = model_by_hand(model.train(training), ids, config.norm_eps)
            faults = plain_model_faults(model, ids, wanted[0])
            for steps in ways:
                faults = faults or cached_model_faults(model, ids, steps, wanted)
        if faults := faults | state_faults(model, before):
            return faults
    wanted = model_by_hand(model, ids, config.norm_eps)[0]
    return gradient_faults(model.train()(ids), wanted, list(model.parameters()))


def plain_model_faults(model, ids, wanted):
    given = ids.clone()
    return tensor_faults(model(given), wanted) | unchanged([given], [ids])


def cached_model_faults(model, ids, steps, wanted):
    """Through caches in steps of these lengths, with other ids in a second set of them between."""
    logits, told = wanted
    caches, second = (model.new_caches(len(ids), 8 * ids.shape[1]) for _ in range(2))
    faults, end = set(), 0
    for step in steps:
        start, end = end, end + step
        given = ids[:, start:end].clone()
        faults |= tensor_faults(model(given, caches), logits[:, start:end])
        faults |= unchanged([given], [ids[:, start:end]])
        for cache, parts in zip(caches, told, strict=True):
            faults |= content_faults(cache, [part[:, :end] for part in parts])
        if faults:
            return faults
        model(ids[:, -1:], caches=tuple(second))
    return faults


# --- D4.2b --------------------------------------------------------------------------------------


def at_count(answer, config):
    mine = answer(config)
    if not isinstance(mine, tuple) or [type(number) for number in mine] != [int, int]:
        return {"no pair of ints"}
    return set() if mine == counted_by_hand(config) else {"value"}


# --- D4.I1 --------------------------------------------------------------------------------------


def one_by_one(mtp, hidden, following):
    """What it returns where a cache of its block is told a position at a time."""
    cache = mtp.block.attention.new_cache(*hidden.shape[:2])
    pairs = zip(hidden.split(1, dim=1), following.split(1, dim=1), strict=True)
    return torch.cat([mtp(state, after, cache) for state, after in pairs], dim=1)


def at_mtp(answer, config, b, l, dtype):  # noqa: E741
    mtp = answer(config)
    if faults := part_faults(mtp, reference.MultiTokenPrediction(config)):
        return faults
    mtp = with_random_weights(mtp, dtype)
    before = state_of(mtp)
    for training in (True, False):
        hidden, following = (rows_(b, l, config.d_model, dtype) for _ in range(2))
        given = hidden.clone(), following.clone()
        with torch.no_grad():
            wanted = mtp_by_hand(mtp, hidden, following, config.norm_eps)
            faults = tensor_faults(mtp.train(training)(*given), wanted)
            faults |= tensor_faults(mtp(next_embedding=given[1], hidden=given[0]), wanted)
            if "cache" in inspect.signature(mtp.forward).parameters:  # older parts take none
                faults |= tensor_faults(one_by_one(mtp, *given), wanted)
        faults |= unchanged(given, [hidden, following])
        if faults := faults | state_faults(mtp, before):
            return faults
    leaves = [hidden.requires_grad_(), following.requires_grad_(), *mtp.parameters()]
    wanted = mtp_by_hand(mtp, hidden, following, config.norm_eps)
    return gradient_faults(mtp.train()(hidden * 1, following * 1), wanted, leaves)


# --- cases --------------------------------------------------------------------------------------

PLAIN = DeepSeekConfig(
    vocab_size=11,
    num_layers=3,
    d_model=12,
    num_heads=2,
    d_head=4,
    d_latent=5,
    d_rope=2,
    num_experts=6,
    top_k=2,
    expert_dim=5,
    num_shared=2,
    dense_layers=1,
    dense_dim=7,
    norm_eps=0.05,
)
NO_DENSE = replace(
    PLAIN, num_layers=2, dense_layers=0, dense_dim=4, q_latent=6, d_value=3, affinity="softmax"
)
SEGMENTED = replace(PLAIN, num_segments=3, top_k=1, scale=2.5, theta=50.0, norm_eps=1e-6)
GROUPED = replace(PLAIN, num_layers=4, dense_layers=2, num_groups=3, top_groups=2, num_shared=1)
DENSE_WITH_THETA = replace(PLAIN, theta=50.0)
ALL_DENSE = replace(PLAIN, num_layers=2, dense_layers=2)
CROWDED = replace(SEGMENTED, num_segments=4, top_k=3, num_layers=4)  # 12 choices of 6 experts
CROWDED_GROUPS = replace(CROWDED, num_groups=3, top_groups=2)  # 4 experts a segment can choose
SINGLE_LAYER = replace(NO_DENSE, num_layers=1, num_experts=9, top_k=4, num_shared=1)

BLOCKS = [
    (DENSE_WITH_THETA, 0, 2, 4, (1, 3), DOUBLE),
    (PLAIN, 1, 2, 4, (3, 1), DOUBLE),
    (NO_DENSE, 0, 3, 3, (2, 1), SINGLE),
    (SEGMENTED, 2, 1, 5, (2, 2, 1), DOUBLE),
    (GROUPED, 2, 2, 3, (1, 2), DOUBLE),
]
STACKS = [
    (PLAIN, 2, 4, (1, 3), DOUBLE),
    (NO_DENSE, 3, 3, (2, 1), SINGLE),
    (SEGMENTED, 1, 5, (2, 2, 1), DOUBLE),
    (SINGLE_LAYER, 2, 3, (1, 2), DOUBLE),
    (SINGLE_LAYER, 1, 40, (39, 1), DOUBLE),
]
LARGE = replace(
    PLAIN, d_model=13, vocab_size=700_001, num_shared=1, d_latent=7, num_layers=2
)  # beyond 2**24
COUNTS = [
    (config,)
    for config in (
        PLAIN,
        NO_DENSE,
        SEGMENTED,
        GROUPED,
        ALL_DENSE,
        CROWDED,
        CROWDED_GROUPS,
        SINGLE_LAYER,
        LARGE,
    )
]
PREDICTIONS = [
    (PLAIN, 2, 4, DOUBLE),
    (NO_DENSE, 3, 3, SINGLE),
    (SEGMENTED, 1, 5, DOUBLE),
    (GROUPED, 2, 2, DOUBLE),
]
LOOKS = {
    "D4.1": (at_block, BLOCKS),
    "D4.2a": (at_stack, STACKS),
    "D4.2b": (at_count, COUNTS),
    "D4.I1": (at_mtp, PREDICTIONS),
}
PUBLIC = {
    "D4.1": reference.DeepSeekBlock,
    "D4.2a": reference.DeepSeek,
    "D4.2b": reference.count_parameters,
    "D4.I1": reference.MultiTokenPrediction,
}
