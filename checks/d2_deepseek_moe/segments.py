"""The checks of D2.2a and D2.2b: tokens cut into segments, and merged again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.cases import ROWS
from checks.d2_deepseek_moe.segment_slips import (
    called,
    expect_no_tuple,
    other_order,
    why_turned,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class _Cut:
    """One case: `tokens` tokens of `num_segments` slices, each `width` wide."""

    tokens: int
    num_segments: int
    width: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        d_model = self.num_segments * self.width
        return f"{self.tokens} tokens of width {d_model}, num_segments={self.num_segments}"

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def slices(self) -> Tensor:
        """`(T, m, D/m)`, what both functions only lay out differently."""
        shape = self.tokens, self.num_segments, self.width
        return torch.randn(shape, generator=self.generator(), dtype=self.dtype)

    def whole(self, slices: Tensor) -> Tensor:
        """`(T, D)`: the slices of each token side by side, one after the other."""
        return self._laid(torch.stack([torch.cat(list(token)) for token in slices]))

    def rows(self, slices: Tensor) -> Tensor:
        """`(T·m, D/m)`: row t·m + s is slice s of token t."""
        return self._laid(torch.stack([piece for token in slices for piece in token]))

    def _laid(self, matrix: Tensor) -> Tensor:
        return matrix if self.contiguous else strided(matrix)


def _cuts(rng: random.Random) -> list[_Cut]:
    """Seven cases: any size, a width that many numbers divide, one token, segment or number."""

    def case(tokens=None, num_segments=None, width=None, **kind: Any) -> _Cut:
        few, some, more = rng.sample(range(2, 8), 3)
        sizes = tokens or few, num_segments or some, width or more
        return _Cut(*sizes, rng.randrange(10**6), **kind)

    return [
        case(),
        case(contiguous=False),
        case(dtype=torch.float32),
        case(num_segments=rng.choice((2, 4)), width=rng.choice((8, 16))),
        case(tokens=1),
        case(num_segments=1),
        case(width=1),
    ]


_STRIDED = "Is a slice contiguous, numbers side by side, and not every m-th number?"
_SLICE_MAJOR = "Do all slices of one token come before the next token's?"


def _cut(answer, case: _Cut, x: Tensor) -> Tensor:
    shape = len(x) * case.num_segments, case.width
    ask = "Is there one row for each of a token's num_segments slices, in one tensor of x's type?"
    got = called(answer, x, case.num_segments)
    expect_no_tuple(got, f"the rows must be one tensor of shape {shape}")
    if isinstance(got, Tensor) and len(shape) == got.ndim and len(got) == case.num_segments:
        ask = "Are there num_segments rows in all? Each token has so many of its own, T·m together."
    elif isinstance(got, Tensor) and got.shape == (len(x) * case.width, case.num_segments):
        ask = "Is a row num_segments wide? So many slices has a token, each d_model / m wide."
    return expect.tensor(
        got,
        "the rows",
        shape,
        x.dtype,
        ask,
        ("slices", "numbers of a slice"),
    )


def _segments_shape(answer, case: _Cut) -> None:
    _cut(answer, case, case.whole(case.slices()))


def _segments_use(answer, case: _Cut) -> Used:
    x = case.whole(case.slices())
    return lambda: answer(x, case.num_segments), lambda: {"x": x}


def _segments_one(answer, case: _Cut) -> None:
    for slices in case.slices().split(1):
        x = case.whole(slices)
        got, want = _cut(answer, case, x), slices[0]
        slips: dict[str, Callable[[], Tensor]] = {
            _STRIDED: partial(_every_mth, x, case),
            **other_order(got, want, "Is row s slice s, from the front?"),
        }
        expect.close(got, want, "with one token, the slice", axes=("row",), slips=slips)


def _every_mth(x: Tensor, case: _Cut) -> Tensor:
    return x.reshape(case.width, case.num_segments).T


def _segments_all(answer, case: _Cut) -> None:
    slices = case.slices()
    x = case.whole(slices)
    got = _cut(answer, case, x)
    want, order = case.rows(slices), "Is row t·m + s slice s of token t?"
    slips = {
        _SLICE_MAJOR: lambda: case.rows(slices.transpose(0, 1)),
        "Is x read as (T, m, d), each token cut on its own?": lambda: case.rows(
            x.reshape(case.num_segments, case.tokens, -1).transpose(0, 1)
        ),
        why_turned("x", x, "Is x cut as it is, and not transposed first?"): lambda: x.T.reshape(
            want.shape
        ),
        **other_order(got, want, order),
    }
    expect.close(got, want, "the slice", axes=("row",), slips=slips)


def _segments_gradient(answer, case: _Cut) -> None:
    x = case.whole(case.slices()).double()
    _expect_gradient(lambda x: answer(x, case.num_segments), "x", x, case)


def _segments_refuse(answer, case: _Cut) -> None:
    x = case.whole(case.slices())
    _expect_refusal(answer, torch.cat([x, x[:, :1]], dim=1), case, f"{x.shape[1] + 1} columns")


def _merge_refuses(answer, case: _Cut) -> None:
    y = case.rows(case.slices())
    _expect_refusal(answer, torch.cat([y, y[:1]]), case, f"{len(y) + 1} rows")


def _expect_refusal(answer, uneven: Tensor, case: _Cut, sizes: str) -> None:
    """An answer must not leave numbers out."""
    if case.num_segments > 1:
        what = f"num_segments={case.num_segments} does not divide {sizes}"
        expect.refusal(lambda: answer(uneven, case.num_segments), what)


def _expect_gradient(call: Callable, name: str, value: Tensor, case: _Cut) -> None:
    value.requires_grad_()
    direction = torch.randn(case.slices().numel(), generator=case.generator(), dtype=value.dtype)
    expect.gradient(
        lambda: (call(value).flatten() * direction).sum(), {name: value}, case.generator()
    )


check_segment_tokens = Check(
    id="D2.2a",
    name="segment_tokens",
    reference_answer=reference.segment_tokens,
    draw=_cuts,
    stages={
        "shape and type": _segments_shape,
        "inputs untouched": untouched(_segments_use),
        "one token: its slices in order": _segments_one,
        "row t·m + s is slice s of token t": _segments_all,
        "gradients reach x": _segments_gradient,
        "a num_segments that does not divide the width is refused": _segments_refuse,
    },
    hints=(
        "A token [0, 1, 2, 3] in 2 segments: which numbers lie in its first row?",
        "Look at how x lies in memory: token after token, number after number. The rows want the "
        "same order.",
        "From (T, D) to one row per slice: reshape x to as many rows as it takes, each "
        "x.shape[1] // num_segments wide.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64), 8),
        run=lambda function, inputs: function(*inputs),
    ),
)


def _merged(answer, case: _Cut, y: Tensor) -> Tensor:
    shape = len(y) // case.num_segments, case.num_segments * case.width
    ask, got = _ONE_ROW, called(answer, y, case.num_segments)
    expect_no_tuple(got, f"the tokens must be one tensor of shape {shape}")
    if isinstance(got, Tensor) and got.shape == (shape[0], case.width):
        ask = "Are a token's slices summed, or one of them taken? They stand side by side, all of "
        ask += f"them: {case.num_segments} · {case.width} numbers."
    elif isinstance(got, Tensor) and got.ndim == 2 and len(got) == case.num_segments:
        ask = "Are there num_segments rows in all? So many rows of y make one token."
    return expect.tensor(got, "the tokens", shape, y.dtype, ask, ROWS)


_ONE_ROW = "Is there one row for each token, all its slices wide, in one tensor of y's type?"


def _merge_shape(answer, case: _Cut) -> None:
    _merged(answer, case, case.rows(case.slices()))


def _merge_use(answer, case: _Cut) -> Used:
    y = case.rows(case.slices())
    return lambda: answer(y, case.num_segments), lambda: {"y": y}


def _merge_one(answer, case: _Cut) -> None:
    for slices in case.slices().split(1):
        y, want = case.rows(slices), case.whole(slices)
        got = _merged(answer, case, y)
        turned = why_turned("y", y, f"{_STRIDED} Or is y transposed first?")
        slips = {
            turned: slices[0].T.reshape(1, -1).clone,
            **other_order(got, want, "Do the slices stand side by side, the first in front?"),
        }
        expect.close(got, want, "with one token, the row", slips=slips)


def _merge_all(answer, case: _Cut) -> None:
    slices = case.slices()
    y = case.rows(slices)

    def slice_major() -> Tensor:
        return case.whole(y.reshape(case.num_segments, case.tokens, -1).transpose(0, 1))

    got = _merged(answer, case, y)
    want, order = case.whole(slices), "Does token t stand in row t, its slices in their order?"
    slips = {
        _SLICE_MAJOR: slice_major,
        "Is y taken apart as (T, m, d), and laid together again without an exchange?": lambda: (
            slices.transpose(0, 1).reshape(want.shape)
        ),
        why_turned("y", y, "Is y laid together as it is, and not transposed first?"): lambda: (
            y.T.reshape(want.shape)
        ),
        **other_order(got, want, order),
    }
    expect.close(got, want, "the row", slips=slips)


def _merge_gradient(answer, case: _Cut) -> None:
    y = case.rows(case.slices()).double()
    _expect_gradient(lambda y: answer(y, case.num_segments), "y", y, case)


check_merge_segments = Check(
    id="D2.2b",
    name="merge_segments",
    reference_answer=reference.merge_segments,
    draw=_cuts,
    stages={
        "shape and type": _merge_shape,
        "inputs untouched": untouched(_merge_use),
        "one token: its slices side by side": _merge_one,
        "token t from rows t·m to t·m + m - 1": _merge_all,
        "gradients reach y": _merge_gradient,
        "a num_segments that does not divide the rows is refused": _merge_refuses,
    },
    hints=(
        "Rows [0, 1] and [2, 3] are the slices of one token. What was the token?",
        "Look at merge_segments(segment_tokens(x, m), m): it is x. Which width has one row of it?",
        "From m rows to one token: reshape y to as many rows as it takes, each "
        "y.shape[1] * num_segments wide.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4096, 8), 8),
        run=lambda function, inputs: function(*inputs),
    ),
)
