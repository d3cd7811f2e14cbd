"""The check of D3.3c: one rotary key per token, shared by all heads."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import (
    POSITIONS,
    SMALL,
    Latent,
    given_weights,
    in_single,
    latents,
    randomise,
    slow_norm,
)
from checks.d3_mla.older_parts import as_taken
from checks.d3_mla.rotation import pair_lengths, slow_turn
from checks.d3_mla.slips.rotation import FAR, far_bound, far_slip, rotation_slips
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import new_module
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from solutions import d3_mla as reference


def _key(answer: type, case: Latent) -> tuple[Built, Tensor]:
    """The answer with a random weight, and that weight in float64."""
    options = case.settings("theta", "angles")
    layer = new_module(answer, "RotaryKey", case.d_model, case.d_rope, **options)
    randomise(layer.to(case.dtype), case.generator()).train(case.training)
    shapes = {"k_down.weight": (case.d_rope, case.d_model)}
    return layer, given_weights(layer, "RotaryKey", shapes)["k_down.weight"]


def _rows(layer: Built, x: Tensor, case: Latent, *start: int) -> Tensor:
    """The key, once it has the right kind."""
    shape = (*x.shape[:2], case.d_rope)
    with _asks_of_raised(case, *start):
        got = layer(x.clone(), *start)
    return expect.tensor(got, "the key", shape, x.dtype, _why(got, shape), (*TOKENS[:2], "d_rope"))


def _why(got: object, shape: tuple[int, ...]) -> str:
    if isinstance(got, Tensor) and got.shape == shape:
        return ""
    if isinstance(got, Tensor) and got.ndim < 3:
        return (
            "Is squeeze told which dimension to take off, and is it the one for heads that was put "
            "in? Alone it takes off all of size 1."
        )
    return "It is one key per token, without a dimension for heads."


@contextmanager
def _asks_of_raised(case: Latent, start: int = 0) -> Iterator[None]:
    """An error of `rotate` asks what it got; one far away alone, about a table."""
    asks = {
        f"Where does the dimension for heads go in? `rotate` must get the key, {case.d_rope} wide, "
        "in the last one.": "even width.* got 1$",
        f"Is x turned, which is {case.d_model} wide, and not the key?": (
            f"even width.* got {case.d_model}$"
        ),
    }
    if start >= FAR:
        asks = {
            f"That is with start={start}: is a table made for a fixed number of positions?": (
                "^(Runtime|Index)Error"
            )
        }
    with ExitStack() as stack:
        for ask, said in asks.items():
            stack.enter_context(expect.asking(ask, said))
        yield


def _key_shapes(answer: type, case: Latent) -> None:
    layer, _ = _key(answer, case)
    for x in (case.x(), torch.zeros_like(case.x())):
        _rows(layer, x, case)
        _rows(layer, x, case, 3)


def _key_first(answer: type, case: Latent) -> None:
    """Where nothing is turned: the first position, of every sequence."""
    layer, down = _key(answer, case)
    x = case.x()
    plain = x.double() @ down.T
    norms = [slow_norm(row.tolist(), [1.0] * case.d_rope) for row in plain.flatten(0, 1)]
    slips = {
        "Does the key stay without a norm?": lambda: torch.tensor(norms).reshape(plain.shape),
        "Does the key stay without a norm, also one that makes its length 1?": lambda: F.normalize(
            plain, dim=-1
        ),
        "Is there an activation on the key? It is k_down of x alone.": lambda: F.silu(plain),
        "Is the key scaled? attend scales the scores.": lambda: plain / case.d_rope**0.5,
        "Is a key made of its own position's x, and not of the mean of all?": lambda: plain.mean(
            1, keepdim=True
        ).expand_as(plain),
        **rotation_slips(plain, 0, case),
    }
    first = {ask: lambda slip=slip: slip()[:, :1] for ask, slip in slips.items()}
    expect.close(
        _rows(layer, x, case)[:, :1],
        plain[:, :1],
        "the key",
        axes=POSITIONS,
        when="where nothing is turned",
        slips=first,
    )


def _key_lengths(answer: type, case: Latent) -> None:
    layer, down = _key(answer, case)
    x = case.x()
    plain = x.double() @ down.T
    turned = rotation_slips(plain, 0, case)
    slips = {ask: lambda slip=slip: pair_lengths(slip()) for ask, slip in turned.items()}
    expect.close(
        pair_lengths(_rows(layer, x, case)),
        pair_lengths(plain),
        "the length of a pair",
        axes=POSITIONS,
        when="which no turn changes",
        slips=slips,
    )


def _key_turned(answer: type, case: Latent) -> None:
    layer, down = _key(answer, case)
    x = case.x()
    plain = x.double() @ down.T
    for training in (True, False):
        got = _rows(layer.train(training), x, case)
        slips = _slips(plain, 0, case)
        want = slow_turn(plain, 0, case.turns)
        expect.close(got, want, "the key", axes=POSITIONS, slips=slips)
        in_single(got, want, "the key")


def _slips(plain: Tensor, start: int, case: Latent) -> dict[str, Callable[[], Tensor]]:
    """Those of any rotation, and of a key that `rotate` gets pair by pair."""
    first = [case.turns[0]] * len(case.turns)
    ask = "Has each pair its own angle, and not all that of pair 0? `rotate` must get all d_rope."
    return rotation_slips(plain, start, case) | {ask: lambda: slow_turn(plain, start, first)}


def _key_start(answer: type, case: Latent) -> None:
    """The last rows of a longer x, at their place; and rows far away from 0."""
    layer, down = _key(answer, case)
    start, far = 1 + case.seed % 7, FAR + case.seed % 20
    x = case.draw(case.batch, start + case.length, case.d_model, offset=2)
    piece, whole = x[:, start:], _rows(layer, x, case)
    plain = piece.double() @ down.T
    true, here = slow_turn(plain, far, case.turns), whole[:, start:]
    kept = {
        f"That is the key with start={start}, of an earlier call: are angles kept from one call to "
        "the next?": lambda: slow_turn(plain, start, case.turns)
    }
    for at, want, bound in ((start, here, expect.BOUND), (far, true, far_bound(case))):
        got = _rows(layer, piece, case, at)
        slips = _slips(plain, at, case) | (kept if at == far else {}) | far_slip(got, at)
        when = f"with start={at}"
        name = "the key"
        expect.close(got, want, name, axes=POSITIONS, when=when, slips=slips, bound=bound)


def _key_use(answer: type, case: Latent) -> Used:
    layer, x = _key(answer, case)[0], case.x()
    return lambda: layer(x, 2), lambda: {"x": x, **state(layer)}


def _key_gradients(answer: type, case: Latent) -> None:
    layer = _key(answer, case)[0].double()
    x = case.x()[:2, :3].double().requires_grad_()
    direction = SMALL * case.draw(*x.shape[:2], case.d_rope, offset=3).double()
    inputs = {"x": x, **dict(layer.named_parameters())}
    expect.gradient(lambda: (layer(x, 2) * direction).sum(), inputs, case.generator())


check_rotary_key = Check(
    id="D3.3c",
    name="RotaryKey",
    reference_answer=reference.RotaryKey,
    draw=latents,
    stages=as_taken(
        {
            "shapes and types": _key_shapes,
            "x and weight untouched": untouched(_key_use),
            "position 0 is not turned": _key_first,
            "turning keeps the length of each pair": _key_lengths,
            "turned by its position, within 1e-5": _key_turned,
            "start shifts the positions, also by 5,000": _key_start,
            "gradients reach x and the weight": _key_gradients,
        },
        "angles",
        angles=None,
        scale=1.0,
    ),
    hints=(
        "rotate reads (B, L, H, d). How many heads has a key that all heads share?",
        "Look at self.k_down(x): (B, L, r). Which shape must it have for rotate, and which after?",
        "Unsqueeze self.k_down(x) at -2 to (B, L, 1, r), rotate it with start, self.theta and "
        "self.angles, and squeeze that dimension again.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64), 5),
        build=lambda answer: answer(64, 16),
        run=lambda layer, inputs: layer(*inputs),
    ),
)
