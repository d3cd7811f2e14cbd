"""The check of D3.1: keys and values squeezed to a latent each, and expanded again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import POSITIONS, given_weights, if_narrow, in_bfloat16
from checks.d3_mla.slips.common import activated, built, dropped, nearest, normed
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from solutions import d3_mla as reference

_LATENTS = ("the latent of the keys", "the latent of the values")
_EXPANDED = ("the keys", "the values")


@dataclass(frozen=True)
class _Squeezed:
    """One case: x has `length` positions, and `seen` latents are expanded."""

    batch: int
    length: int
    seen: int
    d_model: int
    d_latent: int
    num_heads: int
    d_head: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    training: bool = True

    def __str__(self) -> str:
        return (
            f"x of shape {(self.batch, self.length, self.d_model)}, latents of shape "
            f"{(self.batch, self.seen, self.d_latent)}, num_heads={self.num_heads}, "
            f"d_head={self.d_head}{'' if self.training else ', evaluation mode'}"
            f"{if_narrow(self.dtype)}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def x(self) -> Tensor:
        return self._drawn(0, self.length, self.d_model)

    def latents(self) -> tuple[Tensor, Tensor]:
        """As a cache returns them: in a case that says so, the first rows of a longer tensor."""
        return self._drawn(1, self.seen, self.d_latent), self._drawn(2, self.seen, self.d_latent)

    def _drawn(self, offset: int, rows: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + offset)
        more = 0 if self.contiguous else 3
        shape = self.batch, rows + more, width
        return torch.randn(shape, generator=generator, dtype=self.dtype)[:, :rows]


def _squeezeds(rng: random.Random) -> list[_Squeezed]:
    """Five cases: any sizes, rows of a longer tensor, float32, one token, one head; in turn in
    training and evaluation mode.
    """

    def case(**kind: Any) -> _Squeezed:
        d_model, d_latent, d_head = rng.sample(range(7, 14), 3)
        length, seen = rng.sample(range(4, 7), 2)
        sizes = {"batch": 2, "length": length, "seen": seen, "num_heads": 3}
        widths = {"d_model": d_model, "d_latent": d_latent, "d_head": d_head}
        return _Squeezed(**(sizes | widths | {"seed": rng.randrange(10**6)} | kind))

    return [
        case(),
        case(batch=3, num_heads=2, contiguous=False, training=False),
        case(dtype=torch.float32),
        case(batch=1, length=1, training=False),
        case(num_heads=1, seen=1),
    ]


def _projections(answer: type, case: _Squeezed) -> Built:
    sizes = case.d_model, case.d_latent, case.num_heads, case.d_head
    return built(answer, "LatentProjections", *sizes).to(case.dtype).train(case.training)


def _down(made: Built, x: Tensor, case: _Squeezed) -> tuple[Tensor, Tensor]:
    """Both latents, once they have the right kind."""
    got, axes = expect.pair(made.down(x), _LATENTS), (*TOKENS[:2], "d_latent")
    for value, name in zip(got, _LATENTS, strict=True):
        expect.tensor(value, name, (*x.shape[:2], case.d_latent), case.dtype, axes=axes)
    return got


def _up(made: Built, latents: tuple[Tensor, Tensor], case: _Squeezed) -> tuple[Tensor, Tensor]:
    """Keys and values, once they have the right kind."""
    got = expect.pair(made.up(*latents), _EXPANDED)
    shape = (*latents[0].shape[:2], case.num_heads, case.d_head)
    ask = "The last two dimensions are heads and what each holds, (num_heads, d_head)."
    for value, name in zip(got, _EXPANDED, strict=True):
        expect.tensor(value, name, shape, case.dtype, ask, (*TOKENS[:2], "num_heads", "d_head"))
    return got


def _down_shapes(answer: type, case: _Squeezed) -> None:
    _down(_projections(answer, case), case.x(), case)


def _up_shapes(answer: type, case: _Squeezed) -> None:
    """Of as many latents as come: after `down` has seen x, another number of them."""
    made = _projections(answer, case)
    made.down(case.x())
    _up(made, case.latents(), case)


def _both_shapes(answer: type, case: _Squeezed) -> None:
    _down_shapes(answer, case)
    _up_shapes(answer, case)


def _weights_held(answer: type, case: _Squeezed) -> None:
    _weights(_projections(answer, case), case)


def _weights(made: Built, case: _Squeezed) -> dict[str, Tensor]:
    """Those of the four projections, by the names that the docstring states."""
    up, down = (case.num_heads * case.d_head, case.d_latent), (case.d_latent, case.d_model)
    shapes = {"k_down": down, "v_down": down, "k_up": up, "v_up": up}
    return given_weights(
        made, "LatentProjections", {f"{name}.weight": shape for name, shape in shapes.items()}
    )


def _product(weight: Tensor, rows: Tensor) -> Tensor:
    """The weight times each position's vector, one by one."""
    return torch.stack([torch.stack([weight @ row for row in line]) for line in rows])


_close = partial(expect.close, axes=POSITIONS)
_ACTIVATED = (
    "Is there an activation on the latent? All four maps are linear, with nothing between them."
)


def _down_values(answer: type, case: _Squeezed) -> None:
    made, x = _projections(answer, case), case.x()
    weights = _weights(made, case)
    wants = [_product(weights[f"{part}_down.weight"], x.double()) for part in "kv"]
    for i, value in enumerate(_down(made, x, case)):
        slips = _down_slips(value, wants, i)
        _close(value, wants[i], f"{_LATENTS[i]}, {'kv'[i]}_down of x,", slips=slips)


def _down_slips(got: Tensor, wants: list[Tensor], i: int) -> dict[str, Callable[[], Tensor]]:
    return {
        "Are the two exchanged, or is one used twice?": lambda: wants[1 - i],
        "Is it the sum of both? Each latent has a projection of its own, and nothing is added to "
        "it.": lambda: wants[0] + wants[1],
        _ACTIVATED: lambda: nearest(got, activated(wants[i])),
        "Is the latent normed? It is cached as the projection makes it.": (
            lambda: nearest(got, normed(wants[i]))
        ),
    } | dropped(got, wants[i])


def _up_values(answer: type, case: _Squeezed) -> None:
    made = _projections(answer, case)
    held = _weights(made, case)
    weights = [held[f"{part}_up.weight"] for part in "kv"]
    latents = [latent.double() for latent in case.latents()]
    for i, value in enumerate(_up(made, case.latents(), case)):
        _expect_heads(value, weights, latents, i, case)


def _expect_heads(value: Tensor, weights: list, latents: list, i: int, case: _Squeezed) -> None:
    """Head h is what rows h·d_head to (h + 1)·d_head of the weight make of the latent."""
    heads = partial(_heads, case)
    slips = _source_slips(value, heads, weights, latents, i)
    want = heads(weights[i], latents[i])
    slips |= _cut_slips(want.flatten(2), case)
    _close(value, want, f"{_EXPANDED[i]}, {'kv'[i]}_up of the latent cut into heads,", slips=slips)


def _heads(case: _Squeezed, weight: Tensor, latent: Tensor) -> Tensor:
    return torch.stack([_product(part, latent) for part in weight.split(case.d_head)], dim=2)


def _source_slips(
    got: Tensor, heads: Callable, weights: list, latents: list, i: int
) -> dict[str, Callable[[], Tensor]]:
    """What other weights, or other latents, make of the heads."""
    return {
        "Are the projections of keys and values exchanged, or is one used twice?": lambda: heads(
            weights[1 - i], latents[i]
        ),
        "Do they come from the other latent?": lambda: heads(weights[i], latents[1 - i]),
        "Do the keys come back first, and then the values?": lambda: heads(
            weights[1 - i], latents[1 - i]
        ),
        _ACTIVATED: lambda: nearest(got, (heads(weights[i], y) for y in activated(latents[i]))),
        "Is the latent normed on the way up? It is expanded as it came.": lambda: nearest(
            got, (heads(weights[i], y) for y in normed(latents[i]))
        ),
    }


def _cut_slips(flat: Tensor, case: _Squeezed) -> dict[str, Callable[[], Tensor]]:
    """What other cuts make of all heads side by side."""

    def torn() -> Tensor:
        rows = flat.reshape(len(flat), case.num_heads, -1, case.d_head)
        return rows.transpose(1, 2)

    return {
        "Is the last dimension alone cut (unflatten, view), positions left where they are?": torn,
        "Does head 0 take the first d_head numbers, and not every num_heads-th?": lambda: (
            flat.unflatten(-1, (case.d_head, case.num_heads)).transpose(-1, -2)
        ),
    }


def _use(answer: type, case: _Squeezed) -> Used:
    made, x, (k, v) = _projections(answer, case), case.x(), case.latents()

    def both() -> None:
        made.down(x)
        made.up(k, v)

    return both, lambda: {"x": x, "k": k, "v": v, **state(made)}


def _gradients(answer: type, case: _Squeezed) -> None:
    """All the way: x squeezed, and expanded again."""
    made, x = _projections(answer, case).double(), case.x().double().requires_grad_()
    shape = 2, *x.shape[:2], case.num_heads, case.d_head
    direction = torch.randn(shape, generator=case.generator(), dtype=x.dtype)

    def loss() -> Tensor:
        keys, values = made.up(*made.down(x))
        return (keys * direction[0]).sum() + (values * direction[1]).sum()

    expect.gradient(loss, {"x": x, **dict(made.named_parameters())}, case.generator())
    grads = torch.autograd.grad(loss(), list(made.parameters()))
    idle = sum(int((grad == 0).sum()) for grad in grads)
    expect.require(
        idle == 0,
        f"every weight must get a gradient, and {idle} numbers get none",
        "Does each of the four projections take part?",
    )


def _round_trip(projections: Built, inputs: tuple) -> Tensor:
    return torch.stack(projections.up(*projections.down(*inputs)))


check_latent_projections = Check(
    id="D3.1",
    name="LatentProjections",
    reference_answer=reference.LatentProjections,
    draw=_squeezeds,
    stages={
        "the weights of four projections": _weights_held,
        "down: two latents of width d_latent": _down_shapes,
        "up: keys and values of every head": _up_shapes,
        "inputs and weights untouched": untouched(_use),
        "each latent from its own projection of x": _down_values,
        "each head from its own latent": _up_values,
        "bfloat16 goes in and comes out": in_bfloat16(_both_shapes),
        "gradients reach x and every weight": _gradients,
    },
    hints=(
        "A token's keys and values together are 2 × num_heads × d_head numbers. How many numbers "
        "of it does the cache hold, and which of the four projections makes them?",
        "Look at self.k_up(k): (B, S, num_heads × d_head). Head 0 is its first d_head numbers.",
        "Make k_down and v_down from d_model to d_latent, k_up and v_up from d_latent to num_heads "
        "· d_head. down: return self.k_down of x and self.v_down of x. up: self.k_up of k and "
        "self.v_up of v, each with its last dimension unflattened to (num_heads, d_head).",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 128, 256),),
        build=lambda answer: answer(256, 32, 4, 64),
        run=_round_trip,
    ),
)
