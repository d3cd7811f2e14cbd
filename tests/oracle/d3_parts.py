"""How answers to D3's parts differ from slow loops: projections, cache, conversion, measures."""

import math
from functools import cache

import torch
from jaxtyping import TypeCheckError
from torch import Tensor

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
NAMES = ["k_down.weight", "k_up.weight", "v_down.weight", "v_up.weight"]

# --- slow loops ---------------------------------------------------------------------------------


def linear(x, weight):
    return torch.stack([(x * row).sum(-1) for row in weight], dim=-1)


def in_heads(y, h):
    """Head i is the i-th run of neighbours in the last axis, on an axis before it."""
    width = y.shape[-1] // h
    return torch.stack([y[..., i * width :][..., :width] for i in range(h)], dim=-2)


def squared_sizes(y):
    """Squared singular values, largest first: columns turned until at right angles (Jacobi)."""
    columns = list(y.double().T.clone() if len(y) >= y.shape[1] else y.double().clone())
    for _ in range(30):
        for i in range(len(columns)):
            for j in range(i):
                columns[i], columns[j] = at_right_angles(columns[i], columns[j])
    return sorted((float(column @ column) for column in columns), reverse=True)


def at_right_angles(a, b):
    aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
    if abs(ab) <= 1e-15 * math.sqrt(aa * bb):
        return a, b
    angle = math.atan2(2 * ab, bb - aa) / 2
    return math.cos(angle) * a - math.sin(angle) * b, math.sin(angle) * a + math.cos(angle) * b


def slowed(d_rope, factor, trained, theta, beta_fast, beta_slow):
    """The angle of each pair; the ends of the ramp found by counting pairs and turns."""

    def turns(pair):
        return trained * theta ** (-2 * pair / d_rope) / (2 * math.pi)

    first, last, angles = 0, 0, []
    while turns(first + 1) >= beta_fast:
        first += 1
    while turns(last) > beta_slow and last < d_rope - 1:
        last += 1
    for pair in range(d_rope // 2):
        share = 0 if pair <= first else 1 if pair >= last else (pair - first) / (last - first)
        angles.append(theta ** (-2 * pair / d_rope) * (1 - share + share / factor))
    return angles


# --- ways to differ -----------------------------------------------------------------------------


def tuple_faults(mine, wanted, name="value"):
    if not isinstance(mine, tuple) or len(mine) != len(wanted):
        return {f"number of parts in {name}"}
    return set().union(*(tensor_faults(a, b, name) for a, b in zip(mine, wanted, strict=True)))


def error_of(function, *inputs):
    """The type of what `function(*inputs)` raises, None where it raises nothing."""
    try:
        function(*inputs)
    except Exception as error:
        return type(error)
    return None


# --- one look per exercise ----------------------------------------------------------------------


def at_projections(answer, b, l, s, sizes, dtype):  # noqa: E741
    d, r, h, w = sizes
    layer = answer(d, r, h, w)
    if faults := type_faults(layer):
        return faults
    layer = layer.to(dtype)
    weights = dict(sorted(layer.named_parameters()))
    shapes = [tuple(p.shape) for p in weights.values()]
    if list(weights) != NAMES or shapes != [(r, d), (h * w, r)] * 2:
        return {"parameters"}
    x, v = x_(l, b, d).transpose(0, 1).to(dtype), x_(b, s, r).to(dtype)
    k = x_(s, b, r).transpose(0, 1).to(dtype)
    if faults := input_faults(layer.down, x) | input_faults(layer.up, k, v):
        return faults
    k_down, k_up, v_down, v_up = weights.values()
    for training in (True, False):
        layer.train(training)
        leaves = [y.clone().requires_grad_() for y in (x, k, v)]
        latents = linear(leaves[0], k_down), linear(leaves[0], v_down)
        heads = in_heads(linear(leaves[1], k_up), h), in_heads(linear(leaves[2], v_up), h)
        mine = layer.down(leaves[0] * 1), layer.up(leaves[1] * 1, leaves[2] * 1)
        leaves += weights.values()
        faults |= pair_faults(mine[0], latents, leaves, "latents")
        faults |= pair_faults(mine[1], heads, leaves, "heads")
    return faults


def input_faults(function, *given):
    """Whether a call without gradients changes what it is given."""
    copies = [y.clone() for y in given]
    with torch.no_grad():
        function(*copies)
    return unchanged(copies, given)


def pair_faults(mine, wanted, leaves, name):
    faults = tuple_faults(mine, wanted, name)
    if faults - {name}:
        return faults
    pairs = zip(mine, wanted, strict=True)
    return faults.union(*(gradient_faults(a, b, leaves) for a, b in pairs))


def at_cache(answer, batch, capacity, widths, lengths, dtype, later):
    """Appends `lengths` in turn, with refusals between; a second cache is filled alongside."""
    caches = [answer(batch, capacity, *widths) for _ in range(2)]
    held, views, faults = [[[] for _ in widths] for _ in caches], [], set()
    for turn, length in enumerate(lengths):
        for mine, rows in zip(caches, held, strict=True):
            faults |= refusal_faults(mine, batch, capacity, widths, len(rows[0]))
            faults |= size_faults(mine, batch, capacity, widths, len(rows[0]), dtype)
            if faults:
                return faults
            given = [x_(batch, length, w).to(later if turn else dtype) for w in widths]
            for part, new in zip(rows, given, strict=True):
                part += [row.clone() for row in new.to(dtype).unbind(1)]
            wanted = tuple(torch.stack(part, dim=1) for part in rows)
            try:
                faults |= append_faults(mine, given, wanted, views)
            except RuntimeError:
                if turn and later != dtype:
                    return faults  # one type from first to last may be asked for
                raise
        faults |= truncated_faults(answer(batch, capacity, *widths), batch, widths, dtype)
    faults |= refusal_faults(caches[0], batch, capacity, widths, len(held[0][0]))
    return faults | size_faults(caches[0], batch, capacity, widths, len(held[0][0]), dtype)


def append_faults(mine, given, wanted, views):
    """What is amiss in one append, and in what came back from those before."""
    parts = [part.clone().requires_grad_() * 1 for part in given]
    everything = mine.append(*parts)
    faults = unchanged([part.detach() for part in parts], given)
    faults |= set() if all(part.requires_grad for part in parts) else {"gradient of the input"}
    for part in parts:
        part.data.fill_(7)
    if amiss := tuple_faults(everything, wanted):
        return faults | amiss
    for part in everything:
        room = part.untyped_storage().nbytes() // (part.element_size() * part[:, 0].numel())
        faults |= set() if room >= mine.capacity else {"a copy"}
    views.append((everything, wanted))
    return faults.union(*(tuple_faults(*pair, "earlier value") for pair in views))


def truncated_faults(mine, batch, widths, dtype):
    """Whether an append after `truncate(1)` follows the first position."""
    if not hasattr(mine, "truncate") or mine.capacity < 3:
        return set()
    given = [x_(batch, 2, width).to(dtype) for width in widths]
    mine.append(*(part.clone() for part in given))
    mine.truncate(1)
    more = [x_(batch, 1, width).to(dtype) for width in widths]
    wanted = [torch.cat([a[:, :1], b], dim=1) for a, b in zip(given, more, strict=True)]
    return tuple_faults(mine.append(*more), tuple(wanted), "value after truncate")


def size_faults(mine, batch, capacity, widths, used, dtype):
    numbers = sum(width for _ in range(batch * capacity) for width in widths)
    wanted = numbers * dtype.itemsize if used else 0
    faults = set() if len(mine) == used else {"length"}
    return faults | (set() if mine.nbytes == wanted else {"nbytes"})


def refusal_faults(mine, batch, capacity, widths, used):
    """Whether misfits raise a ValueError; jaxtyping is first with some that the reference gets."""
    shapes = misfits(batch, widths, capacity - used)
    errors = [error_of(mine.append, *(torch.randn(part) for part in parts)) for parts in shapes]
    return set() if set(errors) <= {ValueError, TypeCheckError} else {"refusal"}


def misfits(batch, widths, room):
    """Shapes of parts of which one or all do not fit: too long, another batch, another width."""
    length, last = min(room, 1), widths[-1]
    good = [(batch, length, width) for width in widths]
    yield from ([(batch, room + more, w) for w in widths] for more in (1, 2))
    yield from ([(other, length, w) for w in widths] for other in {1, batch + 1} - {batch})
    yield [(batch, length, w + 1) for w in widths]
    yield from ([*good[:-1], (batch, length, other)] for other in {1, last + 2} - {last})
    if len(widths) > 1:
        yield [*good[:-1], (batch, length + 1, last)]
    yield [(batch, length, 1, width) for width in widths]


@cache
def conversion_problem(n, d, w, dtype):
    """Weights and activations with a mean, of uneven sizes; values are smaller than keys."""
    x = (x_(n, d) * 0.8 ** torch.arange(d)) @ x_(d, d) + 1.5 * x_(d)
    return (x_(w, d).to(dtype), 0.4 * x_(w, d).to(dtype), x.to(dtype))


@cache
def least_losses(n, d, w, dtype, rank, joint):
    """What the keys and the values lose at best, joined or each."""
    W_K, W_V, x = conversion_problem(n, d, w, dtype)
    outputs = [linear(x, torch.cat([W_K, W_V]))] if joint else [linear(x, W_K), linear(x, W_V)]
    return [sum(squared_sizes(y)[rank:]) for y in outputs]


def at_conversion(answer, n, d, w, d_latent, joint, dtype):
    given = conversion_problem(n, d, w, dtype)
    copies = [y.clone() for y in given]
    made = answer(*copies, d_latent, joint=joint)
    faults = unchanged(copies, given)
    rank = d_latent * (2 if joint else 1)
    if [tuple(p.shape) for p in made.state_dict().values()] != [(rank, d)] * 2 + [(w, rank)] * 2:
        return faults | {"width"}
    with torch.no_grad():
        latents = made.down(given[-1][None])
        heads = made.up(*latents)
    faults |= {"two latents"} if joint and not torch.allclose(*latents) else set()
    return faults | loss_faults(heads, (n, d, w, dtype), rank, joint)


def loss_faults(heads, sizes, rank, joint):
    """Whether these keys and values are further off than they must be."""
    W_K, W_V, x = conversion_problem(*sizes)
    wanted = linear(x, W_K)[None, :, None], linear(x, W_V)[None, :, None]
    if amiss := tuple_faults(heads, wanted) - {"value"}:
        return amiss
    losses = [float((a - b).square().sum()) for a, b in zip(heads, wanted, strict=True)]
    losses = [sum(losses)] if joint else losses
    room = (1e-9 if x.dtype == DOUBLE else 1e-6) * sum(float(y.square().sum()) for y in wanted)
    pairs = zip(losses, least_losses(*sizes, rank, joint), strict=True)
    return set() if all(mine <= least + room for mine, least in pairs) else {"error"}


@cache
def energy_problem(n, w, dtype):
    """Outputs with a mean and of uneven sizes, and the shares."""
    y = ((x_(w, n).T * 0.7 ** torch.arange(w)) @ x_(w, w) + x_(w)).to(dtype)
    squares = squared_sizes(y)
    return y, [sum(squares[: i + 1]) / sum(squares) for i in range(len(squares))]


def at_energy(answer, n, w, dtype):
    y, shares = energy_problem(n, w, dtype)
    given = y.clone()
    wanted, faults = torch.tensor(shares, dtype=dtype), set()
    for scale in (1, 1e-3):  # a share of the whole, however large that is
        faults |= tensor_faults(answer(scale * given), wanted)
    answer(given)
    return faults | unchanged([given], [y])


def at_yarn(answer, d_rope, factor, options):
    options = taken(answer, options)
    mine = answer(d_rope, factor, **options)
    if not isinstance(mine, Tensor) or not mine.is_floating_point():
        return {"no tensor of floats"}
    published = {"trained": 4096, "theta": 10_000.0, "beta_fast": 32.0, "beta_slow": 1.0}
    wanted = slowed(d_rope, factor, **published | options)
    return tensor_faults(mine.double(), torch.tensor(wanted, dtype=torch.float64))


# --- cases --------------------------------------------------------------------------------------

PROJECTIONS = [
    (2, 3, 5, (7, 4, 3, 2), DOUBLE),
    (3, 1, 4, (6, 3, 2, 5), SINGLE),
    (1, 4, 1, (5, 6, 4, 3), DOUBLE),
    (2, 5, 3, (6, 2, 1, 4), DOUBLE),
    (2, 2, 3, (4, 4, 3, 4), DOUBLE),
    (2, 2, 3, (4, 3, 2, 3), NARROW),
]
CACHES = [
    (2, 7, (3, 5), (2, 1, 4), DOUBLE, DOUBLE),
    (3, 6, (4,), (1, 1, 1, 3), SINGLE, SINGLE),
    (1, 5, (4, 4), (3, 1, 1), DOUBLE, SINGLE),
    (2, 9, (2, 1, 3), (4, 2, 2), SINGLE, DOUBLE),
    (2, 4, (3, 3), (1, 1, 2), SINGLE, SINGLE),
    (3, 1, (1, 2), (1,), DOUBLE, DOUBLE),
]
CONVERSIONS = [
    (40, 7, 6, 2, False, DOUBLE),
    (40, 7, 6, 2, True, DOUBLE),
    (30, 6, 6, 3, False, SINGLE),
    (30, 6, 6, 1, True, DOUBLE),
    (25, 5, 9, 4, False, DOUBLE),
    (25, 9, 5, 3, True, SINGLE),
    (3, 8, 6, 4, False, DOUBLE),
    (20, 4, 5, 5, True, DOUBLE),
]
ENERGIES = [
    (30, 6, DOUBLE),
    (9, 5, SINGLE),
    (4, 7, DOUBLE),
    (5, 5, DOUBLE),
    (1, 4, DOUBLE),
    (30, 20, DOUBLE),
]
ANGLES = [
    (64, 40.0, {}),
    (16, 4.0, {"trained": 2048}),
    (32, 8.0, {"trained": 150}),
    (48, 2.5, {"trained": 8192, "theta": 500_000.0}),
    (8, 10.0, {"trained": 400, "theta": 10.0}),
    (2, 4.0, {}),
    (40, 16.0, {"beta_fast": 12.0, "beta_slow": 3.0}),
    (8, 4.0, {"trained": 6}),
]
LOOKS = {
    "D3.1": (at_projections, PROJECTIONS),
    "D3.2": (at_cache, CACHES),
    "D3.3f": (at_conversion, CONVERSIONS),
    "D3.I1": (at_energy, ENERGIES),
    "D3.I2": (at_yarn, ANGLES),
}
PUBLIC = {
    "D3.1": reference.LatentProjections,
    "D3.2": reference.LatentCache,
    "D3.3f": reference.latents_from_mha,
    "D3.I1": reference.energy_kept,
    "D3.I2": reference.yarn_frequencies,
}
