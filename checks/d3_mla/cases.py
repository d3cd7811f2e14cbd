"""The sizes a check of latent attention runs on, tensors of those sizes, and slow forms to hold
answers against.

Letters as in `solutions/d3_mla.py`: B, L, S, D, H, R = d_latent, d = d_head, r = d_rope,
v = d_value.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from checks.d3_mla.rotation import THETA, theta_angles
from checks.grading import expect
from checks.grading.strided import strided

POSITIONS = ("sequence", "position")  # the first dimensions of (B, L, …)
HEADS = (*POSITIONS, "head")
SMALL = 0.1  # times a loss: its slopes stay apart, and float32 inside an answer disturbs none


@dataclass(frozen=True)
class Latent:
    """One case: all sizes differ where they can, so that no two dimensions can be mixed up."""

    batch: int
    length: int
    d_model: int
    num_heads: int
    d_head: int
    d_value: int
    d_latent: int
    d_rope: int
    seed: int
    q_latent: int | None = None
    theta: float = THETA
    angles: tuple[float, ...] | None = None
    scale: float = 1.0
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    training: bool = True

    def __str__(self) -> str:
        sizes = (
            f"x of shape {(self.batch, self.length, self.d_model)}, num_heads={self.num_heads}, "
            f"d_head={self.d_head}, d_value={self.d_value}, d_latent={self.d_latent}, "
            f"d_rope={self.d_rope}, q_latent={self.q_latent}"
        )
        more = [f"theta={self.theta:g}"] if self.theta != THETA else []
        if self.angles is not None:
            more += [f"angles=({', '.join(f'{angle:.3g}' for angle in self.angles)})"]
        more += [f"scale={self.scale:.3g}"] if self.scale != 1 else []
        more += [] if self.training else ["evaluation mode"]
        return ", ".join([sizes, *more]) + if_narrow(self.dtype)

    @property
    def turns(self) -> tuple[float, ...]:
        """How far each rotary pair turns per position, in radians."""
        return theta_angles(self.d_rope, self.theta) if self.angles is None else self.angles

    def settings(self, *names: str) -> dict[str, Any]:
        """Those of the optional arguments `theta`, `angles` and `scale` that differ from their
        defaults, as a constructor takes them.
        """
        plain = {"theta": THETA, "angles": None, "scale": 1.0}
        given = {name: getattr(self, name) for name in names}
        changed = {name: value for name, value in given.items() if value != plain[name]}
        if "angles" in changed:
            changed["angles"] = torch.tensor(self.angles, dtype=torch.float64)
        return changed

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def draw(self, *shape: int, offset: int = 1) -> Tensor:
        """Standard normal numbers of this shape, other ones for another `offset`."""
        generator = torch.Generator().manual_seed(self.seed + offset)
        return torch.randn(*shape, generator=generator, dtype=self.dtype)

    def x(self) -> Tensor:
        """`(B, L, D)`; not contiguous in a case that says so."""
        x = self.draw(self.batch, self.length, self.d_model, offset=0)
        return x if self.contiguous else strided(x)


def latents(rng: random.Random) -> list[Latent]:
    """Seven cases: float32, one token, one head with one pair, a batch of one; another theta, and
    angles and a scale of their own, with a query latent and without. All but the fifth have two
    rotary pairs or more; they take turns in training and evaluation mode.
    """

    def case(length=None, query_latent=None, **kind: Any) -> Latent:
        batch, heads = rng.sample(range(2, 5), 2)
        length = length or rng.randint(5, 8)
        d_rope = rng.choice([width for width in (4, 6, 8) if width not in (batch, heads, length)])
        d_head = rng.choice([width for width in (6, 8, 10) if width not in (length, d_rope)])
        widths = [width for width in range(5, 14) if width not in (length, d_rope, d_head)]
        d_model, d_value, d_latent, q_latent = rng.sample(widths, 4)
        query_latent = rng.random() < 0.5 if query_latent is None else query_latent
        sizes = {
            "batch": batch,
            "length": length,
            "d_model": d_model,
            "num_heads": heads,
            "d_head": d_head,
            "d_value": d_value,
            "d_latent": d_latent,
            "d_rope": d_rope,
            "seed": rng.randrange(10**6),
            "q_latent": q_latent if query_latent else None,
        }
        return Latent(**(sizes | kind))

    return [
        case(query_latent=False, theta=300.0),
        case(query_latent=True, contiguous=False, training=False),
        case(dtype=torch.float32),
        case(1, query_latent=True, training=False),
        _with_settings(
            case(query_latent=False, num_heads=1, d_rope=2, batch=rng.randint(3, 4)), rng
        ),
        case(batch=1, query_latent=True, theta=500.0, training=False),
        _with_settings(case(query_latent=True), rng),
    ]


def _with_settings(case: Latent, rng: random.Random) -> Latent:
    """The case with angles that belong to no theta, and a scale that is not 1."""
    angles = tuple(rng.uniform(0.1, 1.0) for _ in range(case.d_rope // 2))
    return replace(case, angles=angles, scale=rng.choice((0.6, 1.5)))


def randomise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """The module with every weight drawn anew: norms near 1, the rest over sqrt(inputs)."""
    with torch.no_grad():
        for weight in module.parameters():
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            norm = weight.ndim == 1
            weight.copy_(1 + 0.3 * drawn if norm else drawn / math.sqrt(weight.shape[-1]))
    return module


def _shared(module: nn.Module) -> dict[str, str]:
    """The names of weights that came before, each with the name under which it did."""
    first: dict[int, str] = {}
    every = module.named_parameters(remove_duplicate=False)
    named = {key: first.setdefault(id(weight), key) for key, weight in every}
    return {key: before for key, before in named.items() if key != before}


def given_weights(
    module: nn.Module, name: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """The module's weights in float64, once they are those that the lesson's constructor makes."""
    expect.module(module, name)
    held = {key: weight.detach().double() for key, weight in module.named_parameters()}
    for key, first in _shared(module).items():
        expect.require(
            key not in shapes,
            f"{name} must keep {key} apart from {first}, and they are one and the same weight",
            "Is one module made, and given two names?",
        )
    for key, shape in shapes.items():
        came = expect.shown(held.get(key)).replace("None", "none")
        expect.require(
            key in held and held[key].shape == shape,
            f"{name} must keep {key} of shape {shape}, by the name that the lesson gives it, "
            f"got {came}",
            _why_other_weight(held.get(key), shape) or _why_no_weight(module, key),
        )
    more = next((key for key in held if key not in shapes), None)
    expect.require(
        more is None,
        f"{name} must have the weights that the lesson names and no others, got {more} too",
        _why_more(more or ""),
    )
    return held


def _why_more(key: str) -> str:
    """A question on a weight that the lesson does not name."""
    if not key.endswith(".bias"):
        return "Which line makes it?"
    if "norm" in key:
        return "Is it a LayerNorm? The lesson's RMSNorm has no bias and keeps the mean."
    return "Is a linear map made with a bias? `bias=False` leaves it out."


def _why_other_weight(weight: Tensor | None, shape: tuple[int, ...]) -> str:
    """A question on a weight of the lesson's that has another shape."""
    if weight is None:
        return ""
    if tuple(weight.shape) == shape[::-1]:
        return "Are the two sizes of nn.Linear exchanged? They are (in, out), its weight (out, in)."
    dim = next((i for i, size in enumerate(shape) if weight.shape[i : i + 1] != (size,)), 0)
    return f"Which of the constructor's sizes make up the {shape[dim]} of dimension {dim}?"


def _why_no_weight(module: nn.Module, key: str) -> str:
    """A question on a weight of the lesson's that is missing."""
    name = key.split(".")[0]
    if not hasattr(module, name):
        return "Has the module that holds it this name, as an attribute of self?"
    layer = "RMSNorm" if "norm" in name else "nn.Linear"
    return (
        f"self.{name} is there, and is {expect.shown(getattr(module, name))}: is it the {layer} "
        "itself, called with its sizes?"
    )


def slow_norm(row: list[float], weight: list[float], eps: float = 1e-6) -> list[float]:
    """RMSNorm of one vector."""
    size = math.sqrt(sum(number**2 for number in row) / len(row) + eps)
    return [number / size * scale for number, scale in zip(row, weight, strict=True)]


def slow_latent(x: Tensor, down: Tensor, norm: Tensor) -> Tensor:
    """`(B, L, R)`: every token times `down` (R, D), and the RMSNorm of that."""
    rows = [slow_norm((down @ token).tolist(), norm.tolist()) for token in x.flatten(0, 1)]
    return torch.tensor(rows, dtype=x.dtype).reshape(*x.shape[:2], -1)


def slow_heads(x: Tensor, up: Tensor, num_heads: int, widths: Sequence[int]) -> tuple[Tensor, ...]:
    """One `(B, L, H, width)` for each width: the rows of `up` head by head, part by part."""
    parts = tuple(x.new_zeros(*x.shape[:2], num_heads, width) for width in widths)
    rows = iter(up)
    for head in range(num_heads):
        for part, width in zip(parts, widths, strict=True):
            for i in range(width):
                part[:, :, head, i] = x @ next(rows)
    return parts


def if_narrow(dtype: torch.dtype) -> str:
    """What the text of a case says of its type: which others it has shows in the messages."""
    return ", in bfloat16" if dtype == torch.bfloat16 else ""


def in_bfloat16(stage: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """The stage with every case in bfloat16, as released weights are."""
    return lambda answer, case: stage(answer, replace(case, dtype=torch.bfloat16))


def slow_attend(
    q_content: Tensor, q_rotary: Tensor, k_content: Tensor, k_rotary: Tensor, values: Tensor
) -> Tensor:
    """Attention query by query: `(B, L, H, v)`, causal, the queries last."""
    length, d_head = q_content.shape[1], q_content.shape[-1]
    before, rows = k_content.shape[1] - length, []
    for i in range(length):
        seen = before + i + 1  # no mask: what comes later is not there
        scores = (k_content[:, :seen] * q_content[:, i, None]).sum(-1)  # (B, seen, H)
        scores = scores + k_rotary[:, :seen] @ q_rotary[:, i].mT
        weights = (scores / math.sqrt(d_head + q_rotary.shape[-1])).softmax(dim=1)
        rows.append((weights[..., None] * values[:, :seen]).sum(1))
    return torch.stack(rows, dim=1)


def bound_of(dtype: torch.dtype) -> float:
    """How far an output of this type may be off."""
    return expect.BOUND if dtype == torch.float32 else 1e-10


def in_single(got: Tensor, want: Tensor, name: str) -> None:
    """Raise Wrong where a float64 tensor is as near as float32 comes, and no nearer."""
    got = got.detach()
    expect.require(
        got.dtype != torch.float64 or expect.near(got, want, 1e-10) or not expect.near(got, want),
        f"in float64 {name} must be within 1e-10 of slow loops, got a difference of "
        f"{float((got - want.detach()).abs().max()):.0e}",
        "Is a step computed in float32?",
    )
