"""How answers to D1's exercises differ from slow loops: one `at_…` per exercise.

A look takes an answer and the sizes or inputs of one case, and returns the set of ways in which
the answer was seen to differ: empty for a right one.
"""

import copy
import math
from fractions import Fraction
from functools import cache, partial
from itertools import permutations

import torch
from torch import Tensor, nn

import solutions.d1_moe as reference
from helpers.model.llama import SwiGLU
from tests.oracle.comparison import (
    gradient_faults,
    gradients,
    made_faults,
    tensor_faults,
    unchanged,
    x_,
)

# --- slow loops ---------------------------------------------------------------------------------


def routed(weight, x, k):
    """Dense (T, E) gates, zero where an expert is not chosen."""
    rows = []
    for token in x:
        powers = [(row * token).sum().exp() for row in weight]
        probs = [p / sum(powers) for p in powers]
        chosen = sorted(range(len(probs)), key=lambda i: -float(probs[i].detach()))[:k]
        total = sum(probs[i] for i in chosen)
        rows.append([p / total if i in chosen else 0 * p for i, p in enumerate(probs)])
    return torch.stack([torch.stack(row) for row in rows])


def swiglu(x, gate, up, down):
    """`x` (n, D) through gate, up (F, D) and down (D, F)."""
    rows = []
    for token in x:
        hidden = []
        for g, u in zip(gate, up, strict=True):
            z = (g * token).sum()
            hidden.append(z / (1 + (-z).exp()) * (u * token).sum())
        rows.append(sum(h * column for h, column in zip(hidden, down.T, strict=True)))
    return torch.stack(rows)


def combined(x, dense, array):
    """Each token's sum over the experts with a gate that is not zero."""
    rows = []
    for token, gates in zip(x, dense, strict=True):
        used = [i for i, gate in enumerate(gates.tolist()) if gate]
        rows.append(sum(gates[i] * array[i](token[None])[0] for i in used))
    return torch.stack(rows)


def counted(choices, n):
    return [sum(i == j for row in choices for j in row) for i in range(n)]


def cv(load):
    mean = Fraction(sum(load), len(load))
    squares = sum((c - mean) ** 2 for c in load) / len(load)
    return math.sqrt(squares) / float(mean) if mean else 0.0


def violation(load):
    mean = Fraction(sum(load), len(load))
    return float((max(load) - mean) / mean) if mean else 0.0


def dropped(choices, n, factor):
    rows = sum(map(len, choices))
    room = math.floor(Fraction(factor) * rows / n)
    return sum(max(c - room, 0) for c in counted(choices, n)) / rows


# --- what the looks share -----------------------------------------------------------------------


class Counting(nn.Module):
    """An expert array that writes down how many rows each call brings."""

    def __init__(self, array):
        super().__init__()
        self.array, self.calls = array, [[] for _ in range(len(array))]

    def __len__(self):
        return len(self.array)

    def __getitem__(self, i):
        expert = self.array[i]

        def call(x):
            self.calls[i] += [len(x)] if len(x) else []
            return expert(x)

        return call


def narrow_faults(call):
    """Whether a call in bfloat16 raises or returns another type."""
    try:
        types = {y.dtype for y in call()}
    except RuntimeError:
        return {"raises in bfloat16"}
    return set() if types == {torch.bfloat16} else {"type in bfloat16"}


def alike(first, second):
    """Whether two matrices go up and down together."""
    if first.shape != second.shape:
        return False
    pair = torch.stack([first.detach().flatten(), second.detach().flatten()])
    return bool(torch.corrcoef(pair)[0, 1] > 0.9)


# --- one look per exercise ----------------------------------------------------------------------


def at_router(answer, t, d, e, k, dtype):
    faults = made_faults(lambda: answer(d, e, k), lambda router: router(torch.ones(t, d)))
    router = answer(d, e, k).to(dtype)
    weights = list(router.parameters())
    if sum(w.numel() for w in weights) != e * d:
        return faults | {"number of weights"}
    weight = torch.cat([w if w.shape[-1] == d else w.T for w in weights])
    x = 2 * x_(t, d).to(dtype)
    for training in (True, False):
        faults |= router_faults(router.train(training), weight, x, e, k)
    return faults or hard_faults(router, x)


def router_faults(router, weight, x, e, k):
    before, shape = x.clone(), (len(x), k)
    with torch.no_grad():
        router(before)
    faults = unchanged([before], [x])
    x = x.clone().requires_grad_()
    gates, experts = router(x * 1)
    faults |= tensor_faults(experts, torch.zeros(shape, dtype=torch.int64), "choices") - {"choices"}
    faults |= tensor_faults(gates, x.new_zeros(shape), "gates") - {"gates"}
    if faults:
        return faults
    mine = x.new_zeros(len(x), e).scatter(1, experts, gates)
    wanted = routed(weight, x, k)
    faults |= tensor_faults(mine, wanted)
    return faults | gradient_faults(mine, wanted, [x, *router.parameters()])


def hard_faults(router, x):
    """At a token of zeros, at logits far out in both directions, and in bfloat16."""
    with torch.no_grad():
        equal, far = router(torch.cat([x, 0 * x[:1]])), router(5000 * x)
        narrow = narrow_faults(lambda: router.bfloat16()(x.bfloat16())[:1])
    choices, k = equal[1][-1].tolist(), equal[0].shape[1]
    faults = tensor_faults(equal[0][-1], torch.full((k,), 1 / k).to(x), "gates of zeros")
    faults |= set() if len(set(choices)) == k else {"choices of zeros"}
    first = far[0].amax(dim=-1).round()  # one gate has it all
    return faults | narrow | tensor_faults(first, torch.ones_like(first), "far gates")


def at_array(answer, d, f, e):
    make = partial(answer, d, f, e)
    array, x = make(), x_(3, d)
    memories = [w.untyped_storage().data_ptr() for w in array.parameters()]
    faults = set() if len(set(memories)) == len(memories) else {"shared memory"}
    if len(array) != e:
        return faults | {"length"}
    if sum(p.numel() for p in array.parameters()) != 3 * d * f * e:
        return faults | {"number of parameters"}
    faults |= made_faults(make, lambda array: [array[i](x.float()) for i in range(e)])
    starts = [nn.utils.parameters_to_vector(make().parameters()) for _ in range(2)]
    faults |= {"equal starts"} if torch.equal(*starts) else set()
    faults |= narrow_faults(lambda: [make().bfloat16()[i](x.bfloat16()) for i in range(e)])
    array.double()
    for training in (True, False):
        faults |= expert_faults(array.train(training), x, f)
    return faults


def expert_faults(array, x, f):
    given, d, e = x.clone(), x.shape[1], len(array)
    faults = tensor_faults(array[0](given), array[0](x.clone()), "second call")
    faults |= unchanged([given], [x])
    parts = [own_weights(array, i, x.clone()) for i in range(e)]
    for i, own in enumerate(parts):
        shapes = [w if w.shape == (f, d) else w.T for w in own]
        leaf = x.clone().requires_grad_()
        mine = array[i](leaf * 1)
        wants = [
            swiglu(leaf, gate, up, down.T)
            for gate, up, down in permutations(shapes, 3)
            if gate.shape == up.shape == down.shape == (f, d)
        ]
        want = next((want for want in wants if torch.allclose(mine, want)), None)
        faults |= {"value"} if want is None else gradient_faults(mine, want, [leaf])
        faults |= {"equal experts" for j in range(i) if torch.allclose(array[i](x), array[j](x))}
        pairs = [pair for other in parts[:i] for pair in zip(own, other, strict=False)]
        faults |= {"like experts" for pair in pairs if alike(*pair)}
    return faults


def own_weights(array, i, x):
    """The matrices, or slices of matrices, that expert i learns by."""
    weights = list(array.parameters())
    matrices = []
    for weight, gradient in zip(weights, gradients(array[i](x), weights), strict=True):
        if weight.dim() == 3:
            used = [w for w, g in zip(weight, gradient, strict=True) if g.any()]
            fused = len(used) == 1 and weight.shape[1] == 2 * array.down.shape[2]
            matrices += used[0].chunk(2) if fused else used
        elif gradient.any():
            matrices.append(weight)
    return matrices


@cache
def dispatch_problem(t, d, e, k, among, dtype):
    """The array, x (not contiguous), gates of either sign, choices, and what comes out."""
    array = reference.ExpertArray(d, d + 2, e).to(dtype)
    x = x_(d, t).T.to(dtype).requires_grad_()
    gates = (torch.rand(t, k) - 0.4).to(dtype).requires_grad_()
    experts = torch.stack([torch.tensor(among)[torch.randperm(len(among))[:k]] for _ in range(t)])
    dense = torch.zeros(t, e, dtype=dtype).scatter(1, experts, gates)
    return array, x, gates, experts, combined(x, dense, array)


def at_dispatch(answer, *case, one_call=False):
    array, x, gates, experts, wanted = dispatch_problem(*case)
    counting = Counting(array)
    inputs = [y.detach().clone() for y in (x, gates, experts)]
    with torch.no_grad():
        answer(*inputs, counting)
    faults = unchanged(inputs, [x, gates, experts])
    faults |= call_faults(counting.calls, counted(experts.tolist(), len(array)), one_call)
    mine = answer(x * 1, gates * 1, experts.clone(), array)
    faults |= tensor_faults(mine, wanted)
    faults |= narrow_combination_faults(answer, *dispatch_problem(*case))
    if faults & {"shape or dtype of value"}:
        return faults
    return faults | gradient_faults(mine, wanted, [x, gates, *array.parameters()])


def narrow_combination_faults(answer, array, x, gates, experts, wanted):
    """Whether bfloat16 gives another type, or anything but roughly the same."""
    narrow = copy.deepcopy(array).bfloat16()
    with torch.no_grad():
        mine = answer(x.bfloat16(), gates.bfloat16(), experts.clone(), narrow)
    if mine.dtype != torch.bfloat16:
        return {"type in bfloat16"}
    off = (mine.to(wanted) - wanted).abs().max()
    return {"value in bfloat16"} if off > 0.1 * wanted.abs().max() else set()


def call_faults(calls, load, one_call):
    faults = set() if [sum(rows) for rows in calls] == load else {"rows"}
    return faults | ({"calls"} if one_call and any(len(rows) > 1 for rows in calls) else set())


def at_sorted(answer, *case):
    return at_dispatch(answer, *case, one_call=True)


def at_load(answer, choices, e):
    experts = torch.tensor(choices) if choices else torch.empty(0, 2, dtype=torch.int64)
    before = experts.clone()
    load = answer(experts, e)
    return unchanged([experts], [before]) | tensor_faults(load, torch.tensor(counted(choices, e)))


def number_faults(mine, wanted):
    if isinstance(mine, Tensor) and mine.dim() == 0 and mine.is_floating_point():
        mine = mine.item()
    if not isinstance(mine, float):
        return {"no number"}
    return set() if math.isclose(mine, wanted, rel_tol=1e-5, abs_tol=1e-6) else {"value"}


def at_measure(wanted):
    def look(answer, counts):
        load = torch.tensor(counts)
        mine = answer(load)
        return unchanged([load], [torch.tensor(counts)]) | number_faults(mine, wanted(counts))

    return look


def at_dropped(answer, choices, e, factor):
    return number_faults(answer(torch.tensor(choices), e, factor), dropped(choices, e, factor))


def at_layer(answer, b, l, d, e, k, f):  # noqa: E741
    faults = made_faults(lambda: answer(d, e, k, f), lambda layer: layer(torch.ones(b, l, d)))
    layer = answer(d, e, k, f).double()
    weight = layer.router.gate.weight
    size = sum(p.numel() for p in layer.experts.parameters())
    faults |= set() if size == 3 * d * f * e else {"width of the experts"}
    faults |= set() if len(layer.experts) == e else {"number of experts"}
    x = x_(l, b, d).transpose(0, 1)
    before = x.clone()
    rows = count_rows(layer)
    for training in (True, False):
        with torch.no_grad():
            layer.train(training)(x)
        faults |= unchanged([x], [before])
        faults |= {"rows"} if sum(rows) > b * l * k else set()
        rows.clear()
    x = x_(b, l, d).requires_grad_()
    tokens = torch.cat(list(x))
    for training in (True, False):
        mine = layer.train(training)(x * 1)
        dense = routed(weight, tokens, k)
        wanted = combined(tokens, dense, layer.experts).reshape(b, l, d)
        faults |= memory_faults(layer, dense) | tensor_faults(mine, wanted)
        x, tokens = next_input(x) if training else (x, tokens)
    if faults & {"value is no tensor", "shape or dtype of value"}:
        return faults
    faults |= gradient_faults(mine, wanted, [x, *layer.parameters()])
    return faults or state_faults(lambda: answer(d, e, k, f), x.detach())


def state_faults(make, x):
    """With another layer in between, under no_grad, with idle experts at NaN, in bfloat16."""
    first, second = make().double(), make().double()
    first(x)
    kept = first.last_experts.clone()
    second(torch.cat([x, -x]))
    faults = set() if torch.equal(first.last_experts, kept) else {"last_experts of another layer"}
    with torch.no_grad():
        first(torch.cat([x, -x]))
        faults |= set() if len(first.last_experts) == 2 * len(kept) else {"last_experts kept"}
        first(x[:1, :1])
        for i in set(range(len(first.experts))) - set(first.last_experts.flatten().tolist()):
            for weight in parameters_of(first.experts, i):
                weight.fill_(torch.nan)
        faults |= set() if first(x[:1, :1]).isfinite().all() else {"idle experts read"}
    return faults | narrow_faults(lambda: [second.bfloat16()(x.bfloat16())])


def parameters_of(array, i):
    """Expert i's own weights, or its slices of fused ones."""
    expert = array[i]
    fused = [weight[i] for weight in array.parameters(recurse=False)]
    return [*expert.parameters()] if isinstance(expert, nn.Module) else fused


def next_input(x):
    x = (x.detach().flip(0, 1) * 1.5).requires_grad_()
    return x, torch.cat(list(x))


def count_rows(layer):
    rows = []
    for module in layer.experts.modules():
        if isinstance(module, SwiGLU):
            module.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    return rows


def memory_faults(layer, dense):
    choices = getattr(layer, "last_experts", None)
    if not isinstance(choices, Tensor) or choices.dtype != torch.int64 or choices.dim() != 2:
        return {"last_experts"}
    wanted = [sorted(i for i, g in enumerate(row) if g) for row in dense.tolist()]
    return set() if choices.sort(dim=1).values.tolist() == wanted else {"last_experts"}


# --- cases ----------------------------------------------------------------------------------------

DOUBLE, SINGLE = torch.float64, torch.float32
CHOICES = [
    ([[0, 1], [1, 2], [1, 3], [2, 0], [1, 0]], 4),
    ([[1, 2], [2, 1], [4, 1]], 6),
    ([[2], [0], [2]], 3),
    ([[3, 1, 0]], 5),
    ([[300, 44]] * 200, 310),
]
LONG = ([[0, 1], [0, 2]] * 20_001, 3)  # more choices of one expert than int16 and float16 count
LOADS = [
    ([4, 2, 1, 3],),
    ([5, 0, 4],),
    ([7],),
    ([0, 0, 0],),
    ([3, 3, 3],),
    ([0, 9, 0, 1, 1, 0],),
    ([12, 0, 0, 0, 0],),
    ([0, 0, 1, 0, 2, 0],),
    ([3_000_450, 2_999_300, 3_000_800, 2_999_450],),  # float32 cannot square and subtract these
]
ROUTERS = [
    (9, 6, 4, 2, DOUBLE),
    (9, 6, 4, 2, SINGLE),
    (5, 7, 6, 3, DOUBLE),
    (1, 5, 4, 2, DOUBLE),
    (6, 5, 4, 1, SINGLE),
    (4, 5, 3, 3, DOUBLE),
]
DISPATCHES = [
    (9, 6, 4, 2, range(4), DOUBLE),
    (9, 6, 4, 2, range(4), SINGLE),
    (7, 5, 5, 3, (0, 2, 3, 4), DOUBLE),
    (2, 5, 6, 2, (1, 2, 5), DOUBLE),
    (1, 4, 3, 2, range(3), DOUBLE),
    (6, 4, 3, 1, range(3), DOUBLE),
    (8, 4, 3, 3, range(3), SINGLE),
    (60, 3, 290, 2, range(290), SINGLE),
    (1030, 3, 3, 2, range(3), SINGLE),
]
LOOKS = {
    "D1.1": (at_router, ROUTERS),
    "D1.2": (at_array, [(4, 7, 4), (6, 5, 3), (3, 8, 1)]),
    "D1.3": (at_dispatch, DISPATCHES),
    "D1.4a": (at_load, [*CHOICES, LONG, ([], 3)]),
    "D1.4b": (at_measure(cv), LOADS),
    "D1.4c": (at_measure(violation), LOADS),
    "D1.5": (at_layer, [(2, 3, 6, 4, 2, 8), (1, 5, 4, 5, 3, 3), (3, 2, 5, 3, 1, 4)]),
    "D1.I1": (at_sorted, DISPATCHES),
    "D1.I2": (
        at_dropped,
        [(*c, factor) for c in CHOICES for factor in (0.5, 1.0, 1.25, 1.4, 2.0)],
    ),
}
PUBLIC = {
    "D1.1": reference.TopKRouter,
    "D1.2": reference.ExpertArray,
    "D1.3": reference.dispatch_combine,
    "D1.4a": reference.expert_load,
    "D1.4b": reference.load_cv,
    "D1.4c": reference.max_violation,
    "D1.5": reference.MoELayer,
    "D1.I1": reference.sorted_dispatch,
    "D1.I2": reference.dropped_share,
}
