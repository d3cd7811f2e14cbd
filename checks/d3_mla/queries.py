"""The check of D3.3a: queries with a content part and a rotary part."""

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import (
    HEADS,
    SMALL,
    Latent,
    given_weights,
    in_single,
    latents,
    randomise,
)
from checks.d3_mla.older_parts import as_taken
from checks.d3_mla.rotation import pair_lengths, slow_turn
from checks.d3_mla.slips.common import built, in_each_mode
from checks.d3_mla.slips.queries import query_slips, unturned
from checks.d3_mla.slips.rotation import FAR, asking_far, far_bound, far_slip, rotation_slips
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from solutions import d3_mla as reference


def _queries(answer: type, case: Latent) -> tuple[Built, dict[str, Tensor]]:
    """The answer with random weights, and those weights in float64."""
    sizes = case.d_model, case.num_heads, case.d_head, case.d_rope
    options = case.settings("theta", "angles", "scale")
    layer = built(answer, "QueryPath", *sizes, q_latent=case.q_latent, **options)
    randomise(layer.to(case.dtype), case.generator()).train(case.training)
    rows = case.num_heads * (case.d_head + case.d_rope)
    shapes: dict[str, tuple[int, ...]] = {"q_up.weight": (rows, case.q_latent or case.d_model)}
    if case.q_latent is not None:
        shapes["q_down.weight"] = case.q_latent, case.d_model
        shapes["q_norm.weight"] = (case.q_latent,)
    return layer, given_weights(layer, "QueryPath", shapes)


_ALONE = "Is the rotary part alone rotated, the last d_rope numbers of each head?"
_CUT = (
    "Is the last dimension cut into heads first, (num_heads, d_head + d_rope), and then each head "
    "split along it?"
)


def _parts(layer: Built, x: Tensor, case: Latent, *start: int) -> tuple[Tensor, Tensor]:
    """Content and rotary part, once both have the right kind."""
    with (
        expect.asking(_ALONE, "angles must be one per pair|x must have an even width"),
        expect.asking(_CUT, "split_sizes"),
        asking_far(*start),
    ):
        got = layer(x.clone(), *start)
    parts = expect.pair(got, ("content", "rotary part"))
    ask = "Content (B, L, H, d_head) comes first, then the rotary part (B, L, H, d_rope), like x."
    axes = *TOKENS[:2], "heads", "numbers of a head"
    widths = {"the content": case.d_head, "the rotary part": case.d_rope}
    for part, (name, width) in zip(parts, widths.items(), strict=True):
        expect.tensor(part, name, (*x.shape[:2], case.num_heads, width), x.dtype, ask, axes)
    return parts


def _query_shapes(answer: type, case: Latent) -> None:
    """Of zeros too, which a norm must not divide by."""
    layer, _ = _queries(answer, case)
    for x in (case.x(), torch.zeros_like(case.x())):
        _parts(layer, x, case)
        _parts(layer, x, case, 3)


def _expect_content(answer: type, case: Latent) -> None:
    layer, weights = _queries(answer, case)
    x = case.x()
    want = unturned(weights, x, case)[0]

    def look() -> None:
        got = _parts(layer, x, case)[0]
        slips = query_slips(weights, x, case, 0)
        expect.close(got, want, "the content", axes=HEADS, slips=slips)
        in_single(got, want, "the content")

    in_each_mode(layer, look)


def _query_content(answer: type, case: Latent) -> None:
    if case.q_latent is None:
        _expect_content(answer, case)


def _query_normed(answer: type, case: Latent) -> None:
    if case.q_latent is not None:
        _expect_content(answer, case)


def _query_lengths(answer: type, case: Latent) -> None:
    layer, weights = _queries(answer, case)
    x = case.x()
    want = unturned(weights, x, case)[1]
    turned = query_slips(weights, x, case, 1) | rotation_slips(want, 0, case)
    slips = {ask: lambda slip=slip: pair_lengths(slip()) for ask, slip in turned.items()}
    expect.close(
        pair_lengths(_parts(layer, x, case)[1]),
        pair_lengths(want),
        "the length of a rotary pair",
        axes=HEADS,
        when="which no turn changes",
        slips=slips,
    )


def _query_turned(answer: type, case: Latent) -> None:
    layer, weights = _queries(answer, case)
    x = case.x()
    rotary = unturned(weights, x, case)[1]
    want = slow_turn(rotary, 0, case.turns)

    def look() -> None:
        got = _parts(layer, x, case)[1]
        slips = rotation_slips(rotary, 0, case)
        expect.close(got, want, "the rotary part", axes=HEADS, slips=slips)
        in_single(got, want, "the rotary part")

    in_each_mode(layer, look)


def _query_start(answer: type, case: Latent) -> None:
    """The last rows of a longer x, at their place; and rows far away from 0."""
    layer, weights = _queries(answer, case)
    start, far = 1 + case.seed % 7, FAR + case.seed % 20
    x = case.draw(case.batch, start + case.length, case.d_model, offset=2)
    piece = x[:, start:]
    content, rotary = (part[:, start:] for part in _parts(layer, x, case))
    before = unturned(weights, piece, case)[1]
    true = slow_turn(before, far, case.turns)
    for at, want, bound in ((start, rotary, expect.BOUND), (far, true, far_bound(case))):
        got, when = _parts(layer, piece, case, at), f"with start={at}"
        slips = rotation_slips(before, at, case) | far_slip(got[1], at)
        name = "the rotary part"
        expect.close(got[1], want, name, axes=HEADS, when=when, slips=slips, bound=bound)
        ask = {"Is the content left as it is, wherever x starts?": lambda got=got: got[0]}
        expect.close(got[0], content, "the content", axes=HEADS, when=when, slips=ask)


def _query_use(answer: type, case: Latent) -> Used:
    layer, x = _queries(answer, case)[0], case.x()
    return lambda: layer(x, 2), lambda: {"x": x, **state(layer)}


def _query_gradients(answer: type, case: Latent) -> None:
    layer = _queries(answer, case)[0].double()
    x = case.x()[:2, :3].double().requires_grad_()
    directions = [
        SMALL * case.draw(*part.shape, offset=3).double() for part in _parts(layer, x, case)
    ]

    def loss() -> Tensor:
        return sum(
            (part * direction).sum()
            for part, direction in zip(layer(x, 2), directions, strict=True)
        )

    expect.gradient(loss, {"x": x, **dict(layer.named_parameters())}, case.generator())


check_query_path = Check(
    id="D3.3a",
    name="QueryPath",
    reference_answer=reference.QueryPath,
    draw=latents,
    stages=as_taken(
        {
            "shapes and types": _query_shapes,
            "x and weights untouched": untouched(_query_use),
            "the content of every head, without a query latent": _query_content,
            "the content from a normed query latent": _query_normed,
            "turning keeps the length of each pair": _query_lengths,
            "the rotary part turned by its position, within 1e-5": _query_turned,
            "start shifts the positions, also by 5,000, and no content": _query_start,
            "gradients reach x and every weight": _query_gradients,
        },
        "angles",
        angles=None,
        scale=1.0,
    ),
    hints=(
        "Which of a head's d_head + d_rope numbers know where the token stands?",
        "Look at self.q_up(x): (B, L, H·(d + r)). Which d + r of them belong to head 0, and which "
        "of those are content?",
        "With q_latent, replace x by self.q_norm(self.q_down(x)). Unflatten self.q_up(x) to "
        "(B, L, H, d + r), multiply by self.scale, split the last dimension into d_head and "
        "d_rope, rotate the second part with start, self.theta and self.angles.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64), 5),
        build=lambda answer: answer(64, 8, 16, 8, q_latent=48),
        run=lambda layer, inputs: torch.cat(layer(*inputs), dim=-1),
    ),
)
