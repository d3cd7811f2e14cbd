"""The check of D3's open task: whether what is kept of tokens restores their keys and values."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from checks.d3_mla.slips.small_cache import ALIKE, PARTS, cosine, why_unlike
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from solutions import d3_open

LOUD = 0.8  # the mean cosine on text three times as large, where rounded numbers are cut off
EXACT = 2  # bytes of a number in bfloat16, which an answer must undercut


@dataclass(frozen=True)
class Text:
    """A trained attention's weights, and activations that vary in a few directions most."""

    d_model: int
    width: int
    seed: int
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        return f"W_K and W_V of shape {(self.width, self.d_model)}"

    def _drawn(self, offset: int, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + offset)
        return torch.randn(*shape, generator=generator, dtype=self.dtype)

    def weights(self) -> tuple[Tensor, Tensor]:
        """W_K and W_V, which differ in what they read."""
        drawn = self._drawn(0, 2, self.width, self.d_model) / self.d_model**0.5
        return drawn[0], drawn[1]

    def activations(self, rows: int, page: int) -> Tensor:
        """`(rows, D)` of a page of the text: a mean, a few strong directions, many weak ones."""
        strength = 4.0 ** (-torch.arange(self.d_model, dtype=self.dtype) / 4)
        turn = torch.linalg.qr(self._drawn(1, self.d_model, self.d_model)).Q
        return 3 * (self._drawn(10 + page, rows, self.d_model) * strength) @ turn + self._drawn(
            2, self.d_model
        )

    def truth(self, x: Tensor) -> list[Tensor]:
        """Keys and values `(N, W)`."""
        return [x @ weight.T for weight in self.weights()]


def _cases(rng: random.Random) -> list[Text]:
    def case(**kind) -> Text:
        return Text(rng.randint(36, 44), rng.randint(25, 32), rng.randrange(10**6), **kind)

    return [case(), case(), case(dtype=torch.float64)]


def _made(answer: Callable, case: Text) -> Built:
    return answer(*case.weights(), case.activations(400, page=0))


def kept_rows(cache: Built, x: Tensor) -> tuple[Tensor, ...]:
    """What `keep` returns for the rows of x, once it is tensors with a row for each."""
    kept = cache.keep(x)
    expect.require(
        isinstance(kept, tuple | list) and kept and all(isinstance(p, Tensor) for p in kept),
        f"keep must return a tuple of tensors, got {expect.shown(kept)}",
        "Is one tensor returned without the comma that makes a tuple of it?",
    )
    for part in kept:
        expect.require(
            part.ndim > 0 and len(part) == len(x),
            f"each kept tensor must have a row for each of the {len(x)} tokens, got "
            f"{expect.shown(part)}",
            _why_other_rows(part, len(x)),
        )
    return tuple(kept)


def _why_other_rows(part: Tensor, rows: int) -> str:
    if part.ndim > 0 and len(part) == rows - 1:
        return "Is the first token left out, or the last?"
    if part.ndim > 1 and part.shape[1] == rows:
        return "Are tokens and numbers exchanged? A token's numbers are a row."
    return "What a cache holds of a token is a row. What serves all tokens stays in the object."


def expanded(cache: Built, kept: Sequence[Tensor], shape: tuple[int, int], dtype: torch.dtype):
    """The keys and values that `expand` makes of what was kept."""
    pair = expect.pair(cache.expand(*kept), PARTS)
    axes = "tokens", "numbers"
    return [
        expect.tensor(value, name, shape, dtype, _why_other_width(value, shape[1]), axes)
        for name, value in zip(PARTS, pair, strict=True)
    ]


def _why_other_width(value: object, width: int) -> str:
    """A question on a matrix that is not `width` wide."""
    if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] == width:
        return ""
    if value.shape[1] == 2 * width:
        return "Are keys and values cut apart along the last dimension?"
    return "Is it as wide as the weights are high?"


def bytes_per_token(kept: Sequence[Tensor]) -> float:
    """The bytes of what is kept, over the tokens."""
    return sum(part.numel() * part.element_size() for part in kept) / len(kept[0])


def _restored(cache: Built, x: Tensor, case: Text) -> list[Tensor]:
    return expanded(cache, kept_rows(cache, x), (len(x), case.width), case.dtype)


def _shape(answer: Callable, case: Text) -> None:
    cache = _made(answer, case)
    for rows in (7, 1):
        _restored(cache, case.activations(rows, page=1), case)


def _use(answer: Callable, case: Text) -> Used:
    W_K, W_V = case.weights()
    inputs = {"W_K": W_K, "W_V": W_V, "activations": case.activations(400, page=0)}
    inputs["x"] = case.activations(9, page=1)
    cache = answer(W_K, W_V, inputs["activations"])
    return lambda: cache.expand(*kept_rows(cache, inputs["x"])), lambda: inputs


def _made_use(answer: Callable, case: Text) -> Used:
    W_K, W_V = case.weights()
    inputs = {"W_K": W_K, "W_V": W_V, "activations": case.activations(400, page=0)}
    return lambda: answer(*inputs.values()), lambda: inputs


def _cosines(answer: Callable, case: Text, x: Tensor) -> dict[str, float]:
    """The mean cosine of what is restored of x to the true keys, and values."""
    pairs = zip(_restored(_made(answer, case), x, case), case.truth(x), strict=True)
    return dict(zip(PARTS, (cosine(got, want) for got, want in pairs), strict=True))


def _alike(answer: Callable, case: Text) -> None:
    x = case.activations(200, page=1)
    for name, found in _cosines(answer, case, x).items():
        expect.require(
            found >= ALIKE,
            f"on new text the restored {name} must have a mean cosine of at least {ALIKE} to the "
            f"true ones, got {found:.3f}",
            _why(answer, case, name) if found < ALIKE else "",
        )


def _why(answer: Callable, case: Text, name: str) -> str:
    """Whether numbers are too large is seen on a tenth of the text, where they are in range."""
    small = _cosines(answer, case, case.activations(200, page=1) / 10)
    if min(small.values()) >= ALIKE:
        return (
            "Does a number that is too large for its type turn round, as 128 does in int8, or is "
            "it cut off too early?"
        )
    x = case.activations(1000, page=2)
    return why_unlike(_restored(_made(answer, case), x, case), case.truth(x), name)


def _from_rows_alone(answer: Callable, case: Text) -> None:
    """A copy that has never seen the tokens expands them from what was kept."""
    cache, x = _made(answer, case), case.activations(50, page=1)
    stranger = copy.deepcopy(cache)
    kept = kept_rows(cache, x)
    want = expanded(cache, kept, (len(x), case.width), case.dtype)
    got = expanded(stranger, kept, (len(x), case.width), case.dtype)
    ask = "Does keep leave something in the object, which expand reads?"
    for name, mine, true in zip(PARTS, got, want, strict=True):
        slips = {ask: lambda mine=mine: mine}
        expect.close(mine, true, name, when="expanded by a copy made before keep", slips=slips)


def _each_by_itself(answer: Callable, case: Text) -> None:
    """A token with numbers 40 times as large beside them changes nothing of the others."""
    cache, x = _made(answer, case), case.activations(50, page=1)
    want = _restored(cache, x, case)
    for name, true in zip(PARTS, want, strict=True):
        expect.require(true.any(), f"all restored {name} are 0", _why_nothing(cache, x))
    crowd = torch.cat([40 * x[:1], x.flip(0)])
    got = [part[1:].flip(0) for part in _restored(cache, crowd, case)]
    for i, name in enumerate(PARTS):
        off = _moved(got[i], want[i])
        expect.require(
            off <= 0.02,
            f"what is kept of a token must not depend on the tokens beside it, and its {name} "
            f"change by {off:.2f} of the largest when another one has large numbers",
            _what_of_others(_moved(_restored(cache, x.flip(0), case)[i].flip(0), want[i])),
        )


def _moved(got: Tensor, want: Tensor) -> float:
    """The largest change, per unit of the largest number."""
    return float((got - want).abs().max() / want.abs().max())


def _what_of_others(moved: float) -> str:
    """`moved` is the change by the order of the tokens alone, of which no mean depends."""
    own = "It belongs to the constructor, or to a token's own row."
    if moved <= 1e-3:
        return f"Is a scale or a mean taken over the tokens of a call? {own}"
    return (
        f"The order of the others alone changes them by {moved:.2f}. Does the row before or "
        "after go into it, or a running sum?"
    )


def _why_nothing(cache: Built, x: Tensor) -> str:
    if any(part.double().any() for part in kept_rows(cache, x)):
        return "Are they made from what was kept?"
    return "All that is kept is 0 too: are the steps too coarse for the numbers that are rounded?"


def _cut_off(answer: Callable, case: Text) -> None:
    """Numbers beyond all that the text had may be cut off, and must not turn round."""
    for name, found in _cosines(answer, case, 3 * case.activations(100, page=1)).items():
        expect.require(
            found >= LOUD,
            f"of tokens three times as large as the text's the restored {name} must have a mean "
            f"cosine of at least {LOUD}, got {found:.3f}",
            "Does a number that is too large for its type turn round, as 128 does in int8? clamp "
            "cuts it off.",
        )


def _smaller(answer: Callable, case: Text) -> None:
    x = case.activations(50, page=1)
    size, limit = bytes_per_token(kept_rows(_made(answer, case), x)), EXACT * 2 * case.width
    expect.require(
        size < limit,
        f"a token must take fewer bytes than its key and value in bfloat16, {limit}, got {size:g}",
        "How many numbers are kept, and of how many bytes each?",
    )


check_small_cache = Check(
    id="D3.O1",
    name="SmallCache",
    reference_answer=d3_open.SmallCache,
    draw=_cases,
    stages={
        "rows that are kept, and two tensors from them": _shape,
        "weights and activations untouched": untouched(_made_use),
        "x untouched": untouched(_use),
        "expanded from the rows alone": _from_rows_alone,
        "each token by itself": _each_by_itself,
        "keys and values alike on new text": _alike,
        "large numbers cut off, never turned round": _cut_off,
        "smaller than keys and values in bfloat16": _smaller,
    },
    hints=(
        "A latent of 64 numbers in float32 is 256 bytes. How few directions, and how few bits of "
        "each, still give the same attention?",
        "Look at the range of each number of the latent, (activations @ down.T).abs().amax(0): the "
        "last is many times the first. Do all need the same number of bits?",
        "Take the directions that carry 98% of the squared length of keys and values together, "
        "divide each by a step made from its range, round, and keep the result as int8.",
    ),
    compared=Comparison(
        inputs=lambda: (Text(40, 30, 0).activations(200, page=1),),
        build=lambda answer: _made(answer, Text(40, 30, 0)),
        run=lambda cache, inputs: torch.cat(list(cache.expand(*cache.keep(*inputs)))),
    ),
)
