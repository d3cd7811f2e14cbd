"""How answers to D2's exercises differ from slow loops: one `at_…` per exercise, as in D1's."""

import math
from functools import partial
from itertools import permutations

import torch
from torch import Tensor, nn

import solutions.d2_deepseek_moe as reference
from tests.oracle.comparison import (
    gradient_faults,
    made_faults,
    raises_value_error,
    tensor_faults,
    unchanged,
    x_,
)
from tests.oracle.d1_moe import combined, count_rows, memory_faults, next_input, swiglu

# --- slow loops ---------------------------------------------------------------------------------


def cut(x, m):
    """Row t·m + s is slice s of token t."""
    width = x.shape[1] // m
    return torch.stack([x[r // m, r % m * width :][:width] for r in range(len(x) * m)])


def merged(y, m):
    """Token t is rows t·m to t·m + m - 1 in one line."""
    return torch.stack([torch.cat([y[t * m + s] for s in range(m)]) for t in range(len(y) // m)])


def allowed(numbers, groups, top):
    """The experts in the `top` groups with the greatest sum of two highest numbers."""
    size = len(numbers) // groups
    parts = [list(range(g * size, (g + 1) * size)) for g in range(groups)]
    parts.sort(key=lambda part: sum(sorted(numbers[i] for i in part)[-2:]), reverse=True)
    return {i for part in parts[:top] for i in part}


def affinities(weight, token, affinity):
    logits = [(row * token).sum() for row in weight]
    if affinity == "sigmoid":
        return [1 / (1 + (-z).exp()) for z in logits]
    total = sum(z.exp() for z in logits)
    return [z.exp() / total for z in logits]


def gates_of(weight, bias, x, k, options):
    """Dense (T, E) gates, zero where an expert is not chosen."""
    groups, top = options.get("num_groups", 1), options.get("top_groups", 1)
    rows = []
    for token in x:
        scores = affinities(weight, token, options.get("affinity", "sigmoid"))
        biased = [float(s.detach() + b) for s, b in zip(scores, bias, strict=True)]
        open_to = allowed(biased, groups, top) if groups > 1 else range(len(biased))
        chosen = sorted(open_to, key=lambda i: -biased[i])[:k]
        total = sum(scores[i] for i in chosen) if options.get("renormalise", True) else 1
        factor = options.get("scale", 1.0) / total
        rows.append([factor * s if i in chosen else 0 * s for i, s in enumerate(scores)])
    return torch.stack([torch.stack(row) for row in rows])


# --- one look per exercise ----------------------------------------------------------------------


def at_shared(answer, d, f, n, *lead):
    layer = answer(d, f, n)
    memories = [w.untyped_storage().data_ptr() for w in layer.parameters()]
    if len(set(memories)) < len(memories):
        return {"shared memory"}
    layer.double()
    weights = list(layer.parameters())
    if sum(p.numel() for p in weights if p.requires_grad) != 3 * d * f * n:
        return {"number of parameters"}
    x = x_(d, *lead[::-1]).permute(*range(len(lead), -1, -1)).requires_grad_()
    given = x.detach().clone()
    with torch.no_grad():
        layer(given)
    faults = unchanged([given], [x])
    mine = layer(x * 1)
    evaluated = layer.eval()(x * 1)
    faults |= tensor_faults(evaluated, mine, "second call")
    if not isinstance(mine, Tensor) or mine.shape != x.shape:
        return faults | {"kind or shape"}
    readings = [as_swiglu(x, *units) for units in unit_orders(weights, d)]
    wanted = next((y for y in readings if torch.allclose(mine, y)), None)
    if wanted is None:
        return faults | {"value"}
    for role in (weight.detach() for units in unit_orders(weights, d) for weight in units):
        faults |= set() if len(role.unique(dim=0)) == f * n else {"equal experts"}
    faults |= gradient_faults(evaluated, wanted, [x, *weights])
    faults |= made_faults(lambda: answer(d, f, n), lambda layer: layer(torch.ones(*lead, d)))
    starts = [nn.utils.parameters_to_vector(answer(d, f, n).parameters()) for _ in range(2)]
    faults |= {"equal starts"} if torch.equal(*starts) else set()
    faults |= gradient_faults(mine, wanted, [x, *weights])
    return faults | bfloat16_faults(layer, given)


def unit_orders(weights, d):
    """Every reading of the weights as gate, up and down, each (N·F, D)."""
    if len(weights) == 2:
        weights = [*weights[0].chunk(2), weights[1]]
    if all(w.dim() == 3 for w in weights):
        weights = [w.flatten(0, 1) for w in weights]
    flat = [w if w.shape[-1] == d else w.T for w in weights]
    roles = [torch.cat(flat[i::3]) for i in range(3)]
    return permutations(roles) if len({role.shape for role in roles}) == 1 else []


def as_swiglu(x, gate, up, down):
    return swiglu(x.reshape(-1, x.shape[-1]), gate, up, down.T).reshape(x.shape)


def at_cut(answer, t, d, m, dtype):
    if d % m:
        return uneven_faults(answer, x_(d, t).T.to(dtype), m)
    return at_rearrangement(answer, x_(d, t).T.to(dtype), m, cut)


def at_merge(answer, t, d, m, dtype):
    if d % m:
        return uneven_faults(answer, x_(d, t * m + 1).T.to(dtype), m)
    return at_rearrangement(answer, x_(d, t * m).T.to(dtype), m, merged)


def uneven_faults(answer, x, m):
    """Something must be raised, whatever it is."""
    try:
        answer(x, m)
    except Exception:
        return set()
    return {"no refusal"}


def at_rearrangement(answer, x, m, by_hand):
    given = x.clone()
    with torch.no_grad():
        answer(given, m)
    faults = unchanged([given], [x])
    x.requires_grad_()
    mine, wanted = answer(x * 1, m), by_hand(x, m)
    faults |= tensor_faults(mine, wanted)
    if faults & {"value is no tensor", "shape or dtype of value"}:
        return faults
    return faults | gradient_faults(mine, wanted, [x])


def at_fine_grained(answer, *sizes):
    num_experts, top_k, expert_dim, m = sizes
    if m < 1 or expert_dim % m:
        return set() if raises_value_error(answer, *sizes) else {"no refusal"}
    mine, pieces = answer(*sizes), 0
    while pieces * m < expert_dim:
        pieces += 1
    if not isinstance(mine, tuple) or [type(n) for n in mine] != [int] * 3:
        return {"kind"}
    return set() if mine == (sum([num_experts] * m), sum([top_k] * m), pieces) else {"value"}


def at_groups(answer, t, e, groups, top, shift, dtype):
    scores = (x_(e, t).T + shift).to(dtype)
    given = scores.clone()
    mine = answer(given, groups, top)
    wanted = scores.clone()
    for token, numbers in enumerate(scores.tolist()):
        for i in set(range(e)) - allowed(numbers, groups, top):
            wanted[token, i] = -math.inf
    even = answer(torch.zeros(2, e, dtype=dtype), groups, top)
    ties = set() if ((even == 0).sum(1) == top * e // groups).all() else {"equal groups"}
    return ties | unchanged([given], [scores]) | tensor_faults(mine, wanted)


def at_biased_router(answer, t, d, e, k, options, shift, dtype):
    make = partial(answer, d, e, k, **options)
    router = make().to(dtype)
    if faults := bias_faults(router, e):
        return faults
    faults = made_faults(make, lambda router: router(torch.ones(t, d)))
    leaf = next(router.parameters())
    weight = leaf if leaf.shape == (e, d) else leaf.T
    router.bias.copy_(0.4 * x_(e) + shift)
    bias = router.bias.clone()
    x = 2 * x_(t, d).to(dtype)
    given = x.clone()
    with torch.no_grad():
        if len(router(given)) != 2:
            return {"no pair"}
    faults |= unchanged([given, router.bias], [x, bias])
    x.requires_grad_()
    wanted = gates_of(weight, bias, x, k, options)
    for training in (True, False):
        gates, experts = router.train(training)(x * 1)
        faults |= tensor_faults(experts, torch.zeros(t, k, dtype=torch.int64), "") - {""}
        faults |= tensor_faults(gates, torch.zeros(t, k, dtype=dtype), "") - {""}
        if faults:
            return faults
        mine = torch.zeros(t, e, dtype=dtype).scatter(1, experts, gates)
        faults |= tensor_faults(mine, wanted)
        faults |= gradient_faults(mine, wanted, [x, leaf])
    faults |= narrow_faults(make, d, e, k, options) | underflow_faults(make(), d, options)
    faults |= small_faults(make, d, k, options)
    return faults | unchanged([router.bias], [bias])


def narrow_faults(make, d, e, k, options):
    """Whether numbers that only float32 tells apart do not decide, or the bias is cast."""
    faults = set()
    groups, top = options.get("num_groups", 1), options.get("top_groups", 1)
    for dtype, unit in ((torch.bfloat16, 2.0**-13), (torch.float16, 2.0**-16)):
        for order in (torch.arange(e), torch.arange(e).flip(0)):
            router, fine = make(), 1 + unit * order
            router.bias.copy_(fine)
            for weight in router.parameters():
                weight.data.zero_()
            router.to(dtype)
            faults |= set() if router.bias.dtype == torch.float32 else {"narrow bias"}
            x = torch.zeros(1, d, dtype=dtype)
            faults |= choice_faults(router, x, fine.tolist(), k, groups, top)
            router.bias.zero_()
            weight = next(router.parameters())
            columns = weight.data if weight.shape == (e, d) else weight.data.T
            columns[:, 0] = 2.0**-4 * (1 + torch.finfo(dtype).eps * order)
            x[:, 0] = 1
            if options.get("affinity") == "softmax" or groups == 1:
                faults |= choice_faults(router, x, columns[:, 0].tolist(), k, groups, top)
    return faults


def choice_faults(router, x, numbers, k, groups, top):
    """Whether one token's experts have not the greatest numbers, or its gates not x's type."""
    gates, experts = router(x)
    open_to = allowed(numbers, groups, top) if groups > 1 else range(len(numbers))
    wanted = sorted(open_to, key=lambda i: -numbers[i])[:k]
    faults = set() if gates.dtype == x.dtype else {"type of gates"}
    return faults | (set() if set(experts[0].tolist()) == set(wanted) else {"narrow choice"})


def underflow_faults(router, d, options):
    """Whether gates are not finite where all affinities are 0."""
    if options.get("affinity") == "softmax":
        return set()
    for weight in router.parameters():
        weight.data.fill_(-300)
    return set() if router(torch.ones(2, d))[0].isfinite().all() else {"gates not finite"}


def small_faults(make, d, k, options):
    """Whether equal affinities of 2.5e-8 make other gates than equal ones that sum to scale."""
    if options.get("affinity") == "softmax" or not options.get("renormalise", True):
        return set()
    faults, wanted = set(), options.get("scale", 1.0) / k
    for dtype in (torch.float32, torch.float16):
        router = make().to(dtype)
        for weight in router.parameters():
            weight.data.fill_(-17.5)
        gates, _ = router(torch.eye(d, dtype=dtype)[:1])
        faults |= set() if ((gates / wanted - 1).abs() < 0.05).all() else {"small affinities"}
    return faults


def bias_faults(router, e):
    """Whether `bias` is anything but a saved buffer of zeros beside one weight matrix."""
    buffers = dict(router.named_buffers())
    if [w.dim() for w in router.parameters()] != [2]:
        return {"parameters"}
    if list(buffers) != ["bias"] or "bias" not in router.state_dict():
        return {"bias is no saved buffer"}
    return set() if torch.equal(buffers["bias"], buffers["bias"].new_zeros(e)) else {"bias"}


def at_deepseek_moe(answer, b, l, d, e, k, f, n, options):  # noqa: E741
    layer = answer(d, e, k, f, n, **options).double()
    m = options.get("num_segments", 1)
    if faults := size_faults(layer, d, e, f, n, m):
        return faults
    faults = made_faults(
        lambda: answer(d, e, k, f, n, **options), lambda layer: layer(torch.ones(b, l, d))
    )
    bias = 0.3 * x_(e)
    layer.router.bias.copy_(bias)
    x = x_(l, b, d).transpose(0, 1)
    given, rows = x_(l, b, d).transpose(0, 1).copy_(x), count_rows(layer)
    with torch.no_grad():
        layer(given)
    faults |= unchanged([given], [x])
    faults |= {"rows"} if sum(rows) > b * l * m * k else set()
    x = x_(b, l, d).requires_grad_()
    for training in (True, False):
        mine = layer.train(training)(x * 1)
        wanted, dense = layer_by_hand(layer, bias, x, m, k, options)
        faults |= memory_faults(layer, dense) | tensor_faults(mine, wanted)
        faults |= unchanged([layer.router.bias], [bias])
        if faults & {"value is no tensor", "shape or dtype of value"}:
            return faults
        faults |= gradient_faults(mine, wanted, [x, *layer.parameters()])
        x = next_input(x)[0]
    faults |= other_layer_faults(answer, d, e, k, f, n, options)
    return faults | idle_faults(layer, x.detach(), e, k) | bfloat16_faults(layer, x.detach())


def other_layer_faults(answer, d, *sizes):
    """Whether a pass of another layer changes the choices that a layer keeps."""
    *sizes, options = sizes
    first, second = (answer(d, *sizes, **options).double() for _ in range(2))
    x = torch.ones(2, 3, d, dtype=torch.float64)
    first(x)
    kept = str(getattr(first, "last_experts", None))
    second(-x)
    same = str(getattr(first, "last_experts", None)) == kept
    return set() if same else {"another layer's last_experts"}


def idle_faults(layer, x, e, k):
    """Whether the weights of an expert that nobody chooses reach the output."""
    if e == k:
        return set()
    layer.router.bias[0] = -100
    kept = [weight.clone() for weight in layer.experts.parameters()]
    own = [*layer.experts[0].parameters()] if isinstance(layer.experts[0], nn.Module) else []
    with torch.no_grad():
        for weight in own or [w[0] for w in layer.experts.parameters()]:
            weight.fill_(math.nan)
        faults = set() if layer(x).isfinite().all() else {"idle experts computed"}
        for weight, before in zip(layer.experts.parameters(), kept, strict=True):
            weight.copy_(before)
    return faults


def bfloat16_faults(layer, x):
    try:
        y = layer.bfloat16()(x.bfloat16())
    except RuntimeError:
        return {"no bfloat16"}
    same = y.shape == x.shape and y.dtype == torch.bfloat16
    return set() if same else {"shape or type in bfloat16"}


def layer_by_hand(layer, bias, x, m, k, options):
    tokens = torch.cat(list(x))
    slices = cut(tokens, m)
    dense = gates_of(layer.router.gate.weight, bias, slices, k, options)
    y = merged(combined(slices, dense, layer.experts), m) + layer.shared(tokens)
    return y.reshape(x.shape), dense


def size_faults(layer, d, e, f, n, m):
    sizes = [sum(w.numel() for w in part.parameters()) for part in (layer.experts, layer.shared)]
    if sizes != [3 * d // m * f * e, 3 * d * f * n]:
        return {"width of the experts"}
    if len(layer.experts) != e:
        return {"number of experts"}
    return set() if layer.router.gate.weight.shape == (e, d // m) else {"width of the router"}


# --- cases ----------------------------------------------------------------------------------------

DOUBLE, SINGLE = torch.float64, torch.float32
SHARED = [(5, 4, 3, 2, 3), (4, 6, 2, 5), (5, 3, 4), (6, 4, 1, 1, 2, 2)]
SEGMENTS = [
    (t, d, m, dtype)
    for t, d, m in [(5, 12, 3), (3, 8, 4), (1, 6, 2), (4, 5, 5)]
    for dtype in (SINGLE, DOUBLE)
] + [(4, 6, 1, DOUBLE), (2, 7, 3, DOUBLE)]
FINE_GRAINED = [
    (6, 1, 8, 2),
    (4, 4, 6, 3),
    (16, 2, 32, 4),
    (8, 3, 12, 6),
    (5, 1, 7, 1),
    (6, 2, 10, 4),
    (8, 2, 6, 0),
    (9, 4, 9, 3),
    (4, 2, 6, 4),
]
GROUPS = [
    (7, 12, 4, 2, 0.0, DOUBLE),
    (7, 12, 3, 2, 0.0, SINGLE),
    (1, 8, 4, 3, -3.0, DOUBLE),
    (5, 10, 5, 1, 0.0, DOUBLE),
    (6, 9, 3, 1, 3.0, DOUBLE),
    (4, 6, 3, 3, 0.0, DOUBLE),
]
GROUPED = {"num_groups": 4, "top_groups": 2}
ROUTERS = [
    (6, 5, 6, 2, {}, 0.0, DOUBLE),
    (6, 5, 8, 3, {"scale": 2.5, **GROUPED}, 0.0, DOUBLE),
    (6, 5, 12, 2, {"scale": 1.5, **GROUPED}, -2.0, SINGLE),
    (6, 5, 12, 4, GROUPED, -50_000.0, DOUBLE),
    (5, 6, 5, 3, {"affinity": "softmax", "renormalise": False, "scale": 16.0}, 0.0, DOUBLE),
    (5, 6, 4, 2, {"affinity": "softmax", "scale": 2.0}, 0.0, SINGLE),
    (5, 4, 9, 2, {"renormalise": False, "num_groups": 3, "top_groups": 2}, -1.5, DOUBLE),
    (1, 4, 6, 1, {"renormalise": False, "scale": 0.5}, 0.0, DOUBLE),
    (2, 4, 5, 1, {"scale": 2.5}, 0.0, DOUBLE),
    (3, 4, 3, 3, {}, 0.0, DOUBLE),
]
LAYERS = [
    (2, 3, 6, 4, 2, 5, 2, {"scale": 2.5}),
    (2, 3, 8, 6, 2, 3, 1, {"num_segments": 2, "scale": 2.5, "num_groups": 3, "top_groups": 2}),
    (1, 4, 9, 5, 3, 4, 1, {"num_segments": 3, "affinity": "softmax", "renormalise": False}),
    (3, 2, 8, 3, 1, 3, 2, {"num_segments": 4, "scale": 1.5, "renormalise": False}),
]
LOOKS = {
    "D2.1": (at_shared, SHARED),
    "D2.2a": (at_cut, SEGMENTS),
    "D2.2b": (at_merge, SEGMENTS),
    "D2.2c": (at_fine_grained, FINE_GRAINED),
    "D2.3a": (at_groups, GROUPS),
    "D2.3b": (at_biased_router, ROUTERS),
    "D2.3d": (at_deepseek_moe, LAYERS),
}
PUBLIC = {
    "D2.1": reference.SharedExperts,
    "D2.2a": reference.segment_tokens,
    "D2.2b": reference.merge_segments,
    "D2.2c": reference.fine_grained,
    "D2.3a": reference.keep_top_groups,
    "D2.3b": reference.BiasedRouter,
    "D2.3d": reference.DeepSeekMoE,
}
