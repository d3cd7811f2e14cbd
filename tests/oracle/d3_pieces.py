"""How answers to the pieces of D3.3 differ from slow loops: one `at_…` per exercise."""

import math

import torch

import solutions.d3_mla as reference
from tests.oracle.comparison import (
    gradient_faults,
    taken,
    tensor_faults,
    type_faults,
    unchanged,
    x_,
)

DOUBLE, SINGLE, NARROW = torch.float64, torch.float32, torch.bfloat16

# --- slow loops ---------------------------------------------------------------------------------


def turned(row, position, turns):
    """`row` (r,) with pair (2i, 2i + 1) turned by position · turns[i] radians."""
    numbers = []
    for i in range(0, len(row), 2):
        angle = position * turns[i // 2]
        numbers.append(row[i] * math.cos(angle) - row[i + 1] * math.sin(angle))
        numbers.append(row[i] * math.sin(angle) + row[i + 1] * math.cos(angle))
    return torch.stack(numbers)


def rms_normed(row, weight):
    return weight * row / ((row**2).sum() / len(row) + 1e-6) ** 0.5


def stacked(lists):
    """A tensor of lists in lists of tensors."""
    if isinstance(lists, torch.Tensor):
        return lists
    return torch.stack([stacked(one) for one in lists])


def turns_of(r, options):
    """The angle of each pair: the given ones, or theta's."""
    theta = options.get("theta", 10_000.0)
    plain = [theta ** (-i / r) for i in range(0, r, 2)]
    return plain if options.get("angles") is None else options["angles"].tolist()


def queries_by_hand(weights, x, start, sizes, options):
    """Content (B, L, H, d) and turned rotary part (B, L, H, r)."""
    h, d, r = sizes
    content, rotary = [], []
    for sequence in x:
        content.append([])
        rotary.append([])
        for position, token in enumerate(sequence, start):
            if "q_down.weight" in weights:
                latent = weights["q_down.weight"] @ token
                token = rms_normed(latent, weights["q_norm.weight"])
            q = weights["q_up.weight"] @ token
            q = options.get("scale", 1.0) * q
            heads = [q[i * (d + r) :][: d + r] for i in range(h)]
            content[-1].append([head[:d] for head in heads])
            rotary[-1].append([turned(head[d:], position, turns_of(r, options)) for head in heads])
    return stacked(content), stacked(rotary)


def latents_by_hand(weights, x):
    rows = [[weights["kv_down.weight"] @ token for token in one] for one in x]
    return stacked([[rms_normed(row, weights["kv_norm.weight"]) for row in one] for one in rows])


def expanded_by_hand(weights, latent, h, d, v):
    """Keys (B, S, H, d) and values (B, S, H, v)."""
    rows = [[weights["kv_up.weight"] @ token for token in one] for one in latent]
    heads = range(0, h * (d + v), d + v)
    keys = [[[row[i : i + d] for i in heads] for row in one] for one in rows]
    return stacked(keys), stacked([[[row[i + d :][:v] for i in heads] for row in o] for o in rows])


def keys_by_hand(weights, x, start, turns):
    keys = [[weights["k_down.weight"] @ token for token in one] for one in x]
    return stacked([[turned(key, p, turns) for p, key in enumerate(one, start)] for one in keys])


def attended_by_hand(q_content, q_rotary, k_content, k_rotary, values):
    (b, l, h, d), r, s = q_content.shape, q_rotary.shape[-1], k_content.shape[1]  # noqa: E741
    rows = [[[None] * h for _ in range(l)] for _ in range(b)]
    for n, i, j in [(n, i, j) for n in range(b) for i in range(l) for j in range(h)]:
        visible = range(s - l + i + 1)
        scores = [(q_content[n, i, j] * k_content[n, t, j]).sum() for t in visible]
        scores = [a + (q_rotary[n, i, j] * k_rotary[n, t]).sum() for t, a in enumerate(scores)]
        scores = [a / math.sqrt(d + r) for a in scores]
        powers = [(a - float(max(scores).detach())).exp() for a in scores]
        rows[n][i][j] = sum(p / sum(powers) * values[n, t, j] for t, p in enumerate(powers))
    return stacked(rows)


# --- ways to differ -----------------------------------------------------------------------------


def with_weights(module, dtype):
    """The module in this dtype, its norms' weights no longer ones."""
    for name, weight in module.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 2.0)
    return module.to(dtype)


def shape_faults(module, shapes):
    """Whether the module learns anything but tensors of these names and shapes."""
    found = {name: tuple(weight.shape) for name, weight in module.named_parameters()}
    return set() if found == shapes else {"parameters"}


def several_faults(mine, wanted, leaves):
    """How a pair of tensors differs from the wanted one, with its gradients."""
    if not isinstance(mine, tuple | list) or len(mine) != len(wanted):
        return {"no pair"}
    return set().union(*(one_fault(a, b, leaves) for a, b in zip(mine, wanted, strict=True)))


def one_fault(mine, wanted, leaves):
    faults = tensor_faults(mine, wanted)
    if faults & {"value is no tensor", "shape or dtype of value"}:
        return faults
    return faults | gradient_faults(mine, wanted, leaves)


def rows_(b, l, d, dtype):  # noqa: E741
    """(B, L, D), not contiguous."""
    return x_(l, b, d).transpose(0, 1).to(dtype)


def at_positions(module, x, start, by_hand, compare):
    """Faults of a module called with x and a start, twice, after a call with another start."""
    given, faults = x.clone(), set()
    with torch.no_grad():
        module(given, start + 3)
    faults |= unchanged([given], [x])
    x = x.requires_grad_()
    wanted = by_hand(dict(module.named_parameters()), x)
    leaves = [x, *module.parameters()]
    for training in (True, False):
        place = (start,) if start or training else ()
        faults |= compare(module.train(training)(x * 1, *place), wanted, leaves)
    return faults


# --- one look per exercise ----------------------------------------------------------------------


def at_queries(answer, b, l, d_model, sizes, options, start, dtype):  # noqa: E741
    h, d, r = sizes
    options = taken(answer, options)
    made = answer(d_model, *sizes, **options)
    if faults := type_faults(made):
        return faults
    path = with_weights(made, dtype)
    shapes = {"q_up.weight": (h * (d + r), options.get("q_latent") or d_model)}
    if q_latent := options.get("q_latent"):
        shapes |= {"q_down.weight": (q_latent, d_model), "q_norm.weight": (q_latent,)}
    if faults := shape_faults(path, shapes):
        return faults

    def by_hand(weights, x):
        return queries_by_hand(weights, x, start, sizes, options)

    before = [weight.detach().clone() for weight in path.parameters()]
    faults = at_positions(path, rows_(b, l, d_model, dtype), start, by_hand, several_faults)
    return faults | unchanged(list(path.parameters()), before)


def at_latent(answer, b, l, s, d_model, h, d, v, latent_width, dtype):  # noqa: E741
    made = answer(d_model, h, d, v, latent_width)
    if faults := type_faults(made):
        return faults
    part = with_weights(made, dtype)
    shapes = {"kv_down.weight": (latent_width, d_model), "kv_norm.weight": (latent_width,)}
    if faults := shape_faults(part, shapes | {"kv_up.weight": (h * (d + v), latent_width)}):
        return faults
    if [getattr(part, name, None) for name in ("num_heads", "d_head", "d_value")] != [h, d, v]:
        return {"sizes by name"}
    x, latent = rows_(b, l, d_model, dtype), rows_(b, s, latent_width, dtype)
    given = x.clone(), latent.clone()
    with torch.no_grad():
        part.down(given[0])
        part.up(given[1])
    faults = unchanged(given, (x, latent))
    x, latent = x.requires_grad_(), latent.requires_grad_()
    weights, leaves = dict(part.named_parameters()), [x, latent, *part.parameters()]
    expanded = expanded_by_hand(weights, latent, h, d, v)
    for training in (True, False):
        down = part.train(training).down(x * 1)
        faults |= one_fault(down, latents_by_hand(weights, x), leaves)
        faults |= several_faults(part.up(latent * 1), expanded, leaves)
    return faults


def at_key(answer, b, l, d_model, r, options, start, dtype):  # noqa: E741
    options = taken(answer, options)
    made = answer(d_model, r, **options)
    if faults := type_faults(made):
        return faults
    part = with_weights(made, dtype)
    if faults := shape_faults(part, {"k_down.weight": (r, d_model)}):
        return faults

    def by_hand(weights, x):
        return keys_by_hand(weights, x, start, turns_of(r, options))

    return at_positions(part, rows_(b, l, d_model, dtype), start, by_hand, one_fault)


def at_attend(answer, b, l, s, h, widths, factor, dtype):  # noqa: E741
    d, r, v = widths
    shapes = [(l, b, h, d), (l, b, h, r), (s, b, h, d), (s, b, r), (s, b, h, v)]
    inputs = [(factor * x_(*shape)).transpose(0, 1).to(dtype) for shape in shapes]
    given = [y.clone() for y in inputs]
    with torch.no_grad():
        answer(*given)
    faults = unchanged(given, inputs)
    leaves = [y.requires_grad_() for y in inputs]
    mine = answer(*(y * 1 for y in leaves))
    return faults | one_fault(mine, attended_by_hand(*leaves), leaves)


# --- cases --------------------------------------------------------------------------------------

QUERIES = [
    (2, 3, 7, (3, 4, 6), {"q_latent": 5}, 0, DOUBLE),
    (2, 3, 6, (2, 4, 4), {"theta": 500.0}, 5, DOUBLE),
    (3, 2, 6, (3, 2, 4), {"q_latent": 6, "theta": 100.0}, 7, SINGLE),
    (1, 4, 5, (1, 6, 2), {}, 2, SINGLE),
    (2, 1, 8, (4, 5, 4), {"q_latent": 3}, 11, DOUBLE),
    (2, 3, 6, (2, 5, 4), {"angles": torch.tensor([0.7, 0.3]), "scale": 1.5}, 2, DOUBLE),
    (1, 2, 5, (2, 3, 4), {}, 5000, DOUBLE),
]
LATENTS = [
    (2, 3, 4, 7, 3, 4, 2, 5, DOUBLE),
    (2, 3, 3, 6, 2, 4, 4, 4, DOUBLE),
    (1, 4, 1, 5, 3, 2, 3, 6, SINGLE),
    (3, 1, 2, 6, 1, 3, 5, 4, DOUBLE),
    (2, 2, 3, 5, 2, 3, 2, 4, NARROW),
]
KEYS = [
    (2, 3, 7, 6, {}, 0, DOUBLE),
    (2, 4, 6, 4, {"theta": 300.0}, 5, DOUBLE),
    (1, 3, 5, 2, {}, 3, SINGLE),
    (3, 1, 8, 4, {"theta": 50.0}, 9, SINGLE),
    (2, 3, 6, 4, {"angles": torch.tensor([0.7, 0.3])}, 2, DOUBLE),
    (1, 2, 5, 4, {}, 5000, DOUBLE),
]
ATTENTIONS = [
    (2, 4, 4, 3, (4, 2, 5), 1.0, DOUBLE),
    (2, 3, 6, 2, (3, 4, 3), 1.0, DOUBLE),
    (1, 1, 5, 2, (4, 2, 4), 1.0, SINGLE),
    (3, 1, 1, 3, (2, 4, 6), 1.0, DOUBLE),
    (3, 2, 5, 1, (2, 6, 3), 2.0, DOUBLE),
    (1, 4, 4, 2, (4, 4, 4), 40.0, DOUBLE),
    (1, 2, 70, 1, (2, 2, 2), 1.0, DOUBLE),
    (2, 2, 3, 2, (2, 2, 2), 1.0, NARROW),
]
LOOKS = {
    "D3.3a": (at_queries, QUERIES),
    "D3.3b": (at_latent, LATENTS),
    "D3.3c": (at_key, KEYS),
    "D3.3d": (at_attend, ATTENTIONS),
}
PUBLIC = {
    "D3.3a": reference.QueryPath,
    "D3.3b": reference.JointLatent,
    "D3.3c": reference.RotaryKey,
    "D3.3d": reference.attend,
}
