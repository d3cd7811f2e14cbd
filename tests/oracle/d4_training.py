"""How answers to D4.3 and D4.I2 differ from slow loops: one `at_…` per exercise, as in D1's.

A look ends with the first stage that finds a fault.
"""

import math
from copy import deepcopy
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

import solutions.d4_deepseek as reference
from helpers.model.deepseek_config import DeepSeekConfig
from tests.oracle.comparison import gradient_faults, tensor_faults, unchanged, x_
from tests.oracle.d4_training_by_hand import (
    best_continuation,
    chances_of_pairs,
    loss_by_hand,
    probabilities,
    train_by_hand,
    worth_by_hand,
)

DOUBLE, SINGLE = torch.float64, torch.float32
MOMENTUM = 0.9

# --- ways to differ -----------------------------------------------------------------------------


class Watched(reference.DeepSeek):
    """A DeepSeek that writes down how many positions each call brings, and whether with caches."""

    def __init__(self, config):
        super().__init__(config)
        self.calls = []

    def forward(self, ids, caches=None):
        self.calls.append((ids.shape[1], caches is not None))
        return super().forward(ids, caches)


def watched(config, scale=1.0):
    """A model in float64 whose logits are spread by `scale` and depend on the tokens before.

    Norms and biases are not as at the start.
    """
    model = Watched(config)
    for name, weight in model.state_dict().items():
        if "norm" in name:
            weight.uniform_(0.5, 1.5)
        elif "bias" in name:
            weight.normal_(std=0.05)
        elif "embed" in name:
            weight.normal_(std=0.5)
        elif "attention" in name:
            weight.mul_(2)
        elif "head" in name:
            weight.mul_(scale)
    return model.double()


def number_faults(mine, wanted, name):
    """Whether `mine` is no float, nor a tensor of one without a gradient, or another number."""
    is_tensor = isinstance(mine, Tensor) and mine.shape == () and not mine.requires_grad
    if not is_tensor and not isinstance(mine, float):
        return {f"{name} is no float"}
    return set() if math.isclose(mine, wanted, rel_tol=1e-4, abs_tol=1e-6) else {name}


def state_faults(model, wanted):
    pairs = zip(model.state_dict().items(), wanted.state_dict().values(), strict=True)
    return {
        f"moved otherwise: {'bias' if 'bias' in name else 'weights'}"
        for (name, mine), other in pairs
        if not torch.allclose(mine, other, rtol=1e-4, atol=1e-5)
    }


def frequency_faults(outcomes, chances):
    """Whether some outcome is over five standard deviations from as often as it should be."""
    n = len(outcomes)
    fits = all(
        abs(outcomes.count(outcome) - chance * n) <= 5 * math.sqrt(chance * (1 - chance) * n) + 1
        for outcome, chance in chances.items()
    )
    return set() if fits else {"frequency"}


# --- one look per exercise ----------------------------------------------------------------------


def at_loss(answer, mask, v, spread, dtype):
    real = torch.tensor(mask)
    b, l = real.shape  # noqa: E741
    logits = (spread * x_(l, b, v)).transpose(0, 1).to(dtype).requires_grad_()
    ids = torch.randint(v, (b, l + 1))
    ids[0, 1:3], ids[1:, -1] = 0, 0
    given = ids.clone()[:, 1:], real.T.contiguous().T
    mine = answer(logits * 1, *given)
    faults = unchanged(given, [ids[:, 1:], torch.tensor(mask)])
    wanted = loss_by_hand(logits, ids[:, 1:], real)
    return faults | tensor_faults(mine, wanted) or gradient_faults(mine, wanted, [logits])


@cache
def training_problem(config, masks, scale, lr):
    """Model and batches as they are before, the steps of the bias, and what comes out by hand."""
    model = watched(config, scale)
    sizes = len(masks[0]), len(masks[0][0])
    batches = [(torch.randint(config.vocab_size, sizes), torch.tensor(mask)) for mask in masks]
    steps, after = [0.03 + 0.011 * i for i in range(len(masks))], deepcopy(model)
    return model, batches, steps, after, train_by_hand(after, batches, steps, lr, MOMENTUM)


def at_train(answer, config, masks, scale, lr):
    """One batch for each mask; the bias steps differ from batch to batch."""
    model, batches, steps, after, wanted = training_problem(config, masks, scale, lr)
    model = deepcopy(model)
    given = [(ids.clone(), real.clone()) for ids, real in batches]
    parts = [{"params": list(part.parameters())} for part in (model.blocks, model.head)]
    rest = [w for n, w in model.named_parameters() if not n.startswith(("blocks", "head"))]
    optimizer = torch.optim.SGD([*parts, {"params": rest}], lr=lr, momentum=MOMENTUM)
    mine = answer(model, iter(given), optimizer, lambda: steps[: max(len(model.calls), 1)][-1])
    faults = set().union(*(unchanged(*pair) for pair in zip(given, batches, strict=True)))
    if not isinstance(mine, list) or len(mine) != len(wanted):
        return faults | {"number of losses"}
    for number, loss in zip(mine, wanted, strict=True):
        faults |= number_faults(number, loss, "loss")
    return faults | state_faults(model, after)


def at_sample(answer, rows, temperature, times, dtype):
    """Rows of logits, each `times` times in turn, so that every row has neighbours unlike it."""
    logits = torch.tensor(rows * times, dtype=dtype).T.contiguous().T
    given, start = logits.clone(), torch.get_rng_state()
    mine, second = answer(given, temperature), answer(given, temperature)
    torch.set_rng_state(start)
    again = answer(given, temperature)
    faults = unchanged([given], [logits])
    if not isinstance(mine, Tensor) or mine.is_floating_point() or mine.shape != logits.shape[:1]:
        return faults | {"kind or shape"}
    if temperature == 0:
        best = [row.index(max(row)) for row in rows] * times
        return faults | (set() if mine.tolist() == best else {"not the best"})
    if times > 100 and torch.equal(mine, second):
        faults |= {"the same draws twice"}
    if not torch.equal(mine, again):
        faults |= {"draws of another generator"}
    for i, row in enumerate(rows):
        chances = dict(enumerate(probabilities(row, temperature)))
        faults |= frequency_faults(mine.tolist()[i :: len(rows)], chances)
    return faults


@cache
@torch.no_grad()
def generation_problem(config, b, l, n, temperature):  # noqa: E741
    """The model, prompts, and each row's best text, or the chance of each pair of new tokens."""
    model, prompts = watched(config, scale=3.0), []
    for use_cache in (True, False, True):
        if temperature == 0:
            ids = torch.randint(config.vocab_size, (b, l))
            wanted = best_continuation(model, ids, n)
        else:
            ids = torch.randint(config.vocab_size, (1, l)).expand(b, l)
            wanted = chances_of_pairs(model, ids[0].tolist(), temperature)
        prompts.append((use_cache, ids, wanted))
    return model, prompts


def at_generate(answer, config, b, l, n, temperature):  # noqa: E741
    """Greedy: each row's best continuation. Else: how often each pair of tokens follows."""
    model, prompts = generation_problem(config, b, l, n, temperature)
    model, faults = deepcopy(model), set()
    for use_cache, ids, wanted in prompts:
        given, model.calls = ids.clone(), []
        model.train(use_cache)
        mine = answer(model, given, n, temperature=temperature, use_cache=use_cache)
        faults |= call_faults(model.calls, l, n, use_cache)
        faults |= set() if model.training == use_cache else {"mode"}
        if given.shape != ids.shape or not torch.equal(given, ids):
            return faults | {"input changed"}
        faults |= text_faults(mine, ids, n, wanted)
    return faults


def call_faults(calls, l, n, use_cache):  # noqa: E741
    """Whether other positions are fed than must be; the last token may be, and needs not."""
    wanted = [l] + [1] * n if use_cache else list(range(l, l + n + 1))
    lengths = [length for length, _ in calls]
    fits = len(lengths) >= n and lengths == wanted[: len(lengths)]
    cached = all(with_caches == use_cache for _, with_caches in calls)
    return set() if fits and cached else {"what is fed"}


def text_faults(mine, ids, n, wanted):
    length = ids.shape[1]
    if not isinstance(mine, Tensor) or mine.shape != (len(ids), length + n):
        return {"kind or shape"}
    if mine.is_inference():
        return {"inference tensor"}
    if mine.dtype != ids.dtype or not torch.equal(mine[:, :length], ids):
        return {"dtype or prompt"}
    if isinstance(wanted, Tensor):
        return tensor_faults(mine, wanted)
    pairs = [tuple(row) for row in mine[:, length : length + 2].tolist()]
    return frequency_faults(pairs, wanted)


def at_worth(answer, with_part, without, dtype):
    given = [torch.tensor(losses, dtype=dtype) for losses in (with_part, without)]
    before = [losses.clone() for losses in given]
    mine = answer(*given)
    faults = unchanged(given, before)
    if not isinstance(mine, tuple) or len(mine) != 2:
        return faults | {"no pair"}
    mean, error = worth_by_hand(*before)
    return faults | number_faults(mine[0], mean, "mean") | number_faults(mine[1], error, "error")


# --- cases --------------------------------------------------------------------------------------


def marks(*rows):
    """Masks as words: `x` for a real token, `.` for padding."""
    return tuple(tuple(mark == "x" for mark in row) for row in rows)


PADDED = marks("xxxxxx.", "xxxx...", "xxxxxxx")
LEFT = marks("..xxxxx", "xxxxxxx", "....xxx")
HOLES = marks("xx.xx.x", ".xxxx.x", "x.xxxxx")
LOSSES = [
    (PADDED, 5, 1.5, DOUBLE),
    (HOLES, 6, 1.0, SINGLE),
    (LEFT, 4, 2.0, DOUBLE),
    (marks("xxxx", "xx..", "....", "x..."), 4, 1.0, DOUBLE),
    (marks("xxx", "xxx"), 7, 300.0, SINGLE),
    (marks("..xx"), 3, 1.0, DOUBLE),
]
SMALL = DeepSeekConfig(
    vocab_size=9,
    num_layers=3,
    d_model=8,
    num_heads=2,
    d_head=4,
    d_latent=5,
    d_rope=2,
    num_experts=3,
    top_k=2,
    expert_dim=5,
    num_shared=1,
    dense_layers=1,
    dense_dim=6,
)
ALL_SPARSE = replace(SMALL, num_layers=2, dense_layers=0)
SEGMENTED = replace(ALL_SPARSE, num_segments=2, top_k=1)
ALL_DENSE = replace(SMALL, num_layers=2, dense_layers=2)
TRAININGS = [
    (ALL_SPARSE, (PADDED, HOLES, LEFT), 4.0, 0.3),
    (SMALL, (HOLES, PADDED, PADDED), 0.3, 0.4),
    (SEGMENTED, (LEFT, HOLES), 4.0, 0.3),
    (ALL_DENSE, (PADDED, LEFT), 2.0, 0.3),
]
ROWS = [[2.0, 0.1, 1.2, -0.7, 0.9], [-1.0, 0.5, 0.3, 0.0, 1.5], [0.2, 1.1, -0.4, 0.8, 0.6]]
SAMPLINGS = [
    (ROWS, 1, 1500, DOUBLE),
    (ROWS, 0.5, 1500, SINGLE),
    (ROWS[::-1], 2.5, 1500, DOUBLE),
    ([[20 * score for score in row] for row in ROWS], 20.0, 1500, DOUBLE),
    ([[0.02 * score for score in row] for row in ROWS], 0.02, 1500, DOUBLE),
    (ROWS, 0.0, 3, DOUBLE),
    ([[1.00, 1.01, 0.99], [0.02, -0.01, 0.0]], 0.0, 50, SINGLE),
    ([[1e-6, 3e-6, 2e-6], [2e-6, 0.0, 1e-6]], 0.0, 50, SINGLE),
    (ROWS, 0.01, 1, SINGLE),
    (ROWS[:1], 1.0, 1, DOUBLE),
    ([[-5.0 - i / 500 for i in range(60)] + [0.0]], 1.0, 8000, DOUBLE),  # a long tail
    ([[-3.4 - i / 5000 for i in range(220)] + [0.0]], 1.0, 10000, DOUBLE),  # and a heavy one
]
DENSE_FIRST = replace(SMALL, num_layers=2)
FEW_TOKENS = replace(ALL_SPARSE, num_layers=1, vocab_size=3)
GENERATIONS = [
    (DENSE_FIRST, 3, 4, 5, 0.0),
    (FEW_TOKENS, 1, 1, 10, 0.0),
    (SEGMENTED, 2, 6, 3, 0.0),
    (replace(FEW_TOKENS, vocab_size=2), 1, 3, 6, 0.0),
    (DENSE_FIRST, 2, 3, 1, 0.0),
    (FEW_TOKENS, 2, 3, 0, 0.0),
    (FEW_TOKENS, 1, 2, 40, 0.0),
    (FEW_TOKENS, 1, 1100, 1, 0.0),
    (FEW_TOKENS, 1000, 3, 2, 0.6),
    (FEW_TOKENS, 1000, 2, 3, 2.0),
]
WORTHS = [
    ([0.50, 0.60], [0.53, 0.65], DOUBLE),
    ([2.31, 1.87, 2.90, 2.05], [2.29, 1.99, 3.11, 2.02], SINGLE),
    ([3.3, 2.1, 2.8], [2.9, 2.4, 1.6], DOUBLE),
    ([1.0, 4.0, 2.5, 3.0, 0.5], [1.012, 4.021, 2.5, 3.003, 0.541], DOUBLE),
    ([1.25, 2.25, 0.75], [1.5, 2.5, 1.0], DOUBLE),
]
LOOKS = {
    "D4.3a": (at_loss, LOSSES),
    "D4.3b": (at_train, TRAININGS),
    "D4.3c": (at_sample, SAMPLINGS),
    "D4.3d": (at_generate, GENERATIONS),
    "D4.I2": (at_worth, WORTHS),
}
PUBLIC = {
    "D4.3a": reference.masked_loss,
    "D4.3b": reference.train,
    "D4.3c": reference.sample,
    "D4.3d": reference.generate,
    "D4.I2": reference.worth,
}
