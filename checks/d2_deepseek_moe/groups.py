"""The check of D2.3a: only the best groups of experts stay in the race."""

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.d2_deepseek_moe.cases import Strength, groups, is_clear, kept_experts, top_two
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class _Grouped:
    """One case of scores, about as many of them below zero as above."""

    tokens: int
    num_groups: int
    size: int
    top_groups: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    tied: bool = False  # all scores 0 or 1, so that groups are equally good

    def __str__(self) -> str:
        return (
            f"{self.tokens} tokens, num_experts={self.num_groups * self.size}, "
            f"num_groups={self.num_groups}, top_groups={self.top_groups}"
        )

    def scores(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        shape = self.tokens, self.num_groups * self.size
        drawn = torch.randn(shape, generator=generator, dtype=self.dtype)
        drawn = (drawn > 0).to(self.dtype) if self.tied else drawn
        return drawn if self.contiguous else strided(drawn)


def _groupeds(rng: random.Random) -> list[_Grouped]:
    """Eight cases: also one token, groups of two, one group kept, all groups kept, equal groups."""

    def case(tokens=None, num_groups=None, size=None, top_groups=None, **kind: Any) -> _Grouped:
        sizes = rng.sample(range(3, 7), 2)
        num_groups, size = num_groups or sizes[0], size or sizes[1]
        top_groups = top_groups or rng.randint(2, num_groups - 1)
        tokens = tokens or rng.randint(20, 30)
        return _Grouped(tokens, num_groups, size, top_groups, rng.randrange(10**6), **kind)

    everything = rng.randint(3, 5)
    return [
        case(),
        case(contiguous=False),
        case(dtype=torch.float32),
        case(tokens=1),
        case(size=2),
        case(top_groups=1),
        case(num_groups=everything, top_groups=everything),
        case(tied=True),
    ]


def _kept(answer, case: _Grouped) -> tuple[Tensor, Tensor]:
    """What came, and where it is not -inf."""
    scores = case.scores()
    got = _called(answer, scores, case)
    finite = got.masked_fill(got == -torch.inf, 0.0) if isinstance(got, Tensor) else got
    ask = "Is it a copy of scores, of the same shape and type, with -inf in some places?"
    if isinstance(got, Tensor):
        _expect_scores(got, scores.shape)
    expect.tensor(finite, "the result", scores.shape, scores.dtype, ask, ("tokens", "experts"))
    return got, got != -torch.inf


def _called(answer, scores: Tensor, case: _Grouped) -> Built:
    """What the answer returns; of what it raises it is asked about sizes."""
    groups, size = (case.tokens, case.num_groups), case.size
    parts = (
        f"Are the scores taken apart into {(*groups, size)}: tokens, groups and experts of a "
        f"group? And has each group one score, {groups}, from which topk takes {case.top_groups}?"
    )
    given = (
        f"The call has num_experts={case.num_groups * size}, num_groups={case.num_groups} and "
        f"top_groups={case.top_groups}: does another number stand where one of them belongs?"
    )
    with (
        expect.asking(parts, "out of range|out of bounds|must match the size"),
        expect.asking(given, "ValueError: (num|top)_groups must"),
    ):
        return answer(scores, case.num_groups, case.top_groups)


def _expect_scores(got: Tensor, shape: torch.Size) -> None:
    """Raise Wrong at a mask, and at numbers that are no scores."""
    expect.require(
        got.dtype != torch.bool or got.shape != shape,
        f"the result must hold scores, got {expect.shown(got)}",
        "Is that the mask of what is kept or dropped, where the scores themselves are asked for, "
        "with -inf outside?",
    )
    expect.require(
        not got.isnan().any(),
        "the result holds scores and -inf, and NaN came too",
        "Is anything computed with -inf, as its product with a mask? 0 · -inf is NaN; "
        "`masked_fill` and `torch.where` compute nothing.",
    )
    expect.require(
        not got.isposinf().any(),
        "the result holds scores and -inf, and +inf came too",
        "Which number can never win, whatever the scores are?",
    )


def _groups_shape(answer, case: _Grouped) -> None:
    _kept(answer, case)


def _groups_values(answer, case: _Grouped) -> None:
    scores = case.scores()
    got, kept = _kept(answer, case)
    changed = kept & (got != scores)
    if changed.any():
        (t, i), same = changed.nonzero()[0].tolist(), len(got[changed].unique()) == 1
        expect.require(
            False,
            f"every score stays as it was or becomes -inf: the one of expert {i} for token {t} "
            f"was {float(scores[t, i]):.3g} and became {float(got[t, i]):.3g}",
            "Which number can never win, whatever the scores are?" if same else _moved(got, scores),
        )
    counts, want = kept.sum(-1).tolist(), case.top_groups * case.size
    ask = _count_slip(kept, case)
    for t, count in enumerate(counts):
        expect.require(
            count == want,
            f"each token keeps top_groups × experts of a group = {case.top_groups} × {case.size} "
            f"= {want} scores: token {t} keeps {count}",
            ask,
        )


def _moved(got: Tensor, scores: Tensor) -> str:
    """The question to scores that are neither as they were nor one and the same number."""
    known = [set(row) for row in scores.tolist()]
    stays = all(
        {score for score in row if score > -torch.inf} <= own
        for row, own in zip(got.tolist(), known, strict=True)
    )
    return (
        "Do the token's scores stand in other places? Group 0 is the first experts, side by side, "
        "and so they come back: no transpose."
        if stays
        else "Is something added to the scores, or are they scaled, where they are only to be kept?"
    )


def _count_slip(kept: Tensor, case: _Grouped) -> str:
    """The question that wrong numbers of kept scores call for."""
    rows, counts = case.scores().tolist(), set(kept.sum(-1).tolist())
    others = [set(_where(row)) for row in (~kept).tolist()]
    if others == [set(kept_experts(row, case.num_groups, case.top_groups)) for row in rows]:
        return "Are kept and dropped groups exchanged?"
    if counts == {case.num_groups * case.size}:
        return "Is anything put to -inf?"
    if counts == {0}:
        return "All of it is -inf: is the mask of what is filled False where a group is kept?"
    if case.tied and all(count % case.size == 0 for count in counts):
        return "Of groups that are equally good, are no more kept than top_groups?"
    if all(count % case.size == 0 for count in counts):
        return f"Are top_groups={case.top_groups} groups kept, by a topk over each token's groups?"
    if counts == {2 * case.top_groups}:
        return "Does a kept group keep all its experts, and not the two that count?"
    return "How many groups are there, and how many experts has each?"


def _groups_neighbours(answer, case: _Grouped) -> None:
    _, kept = _kept(answer, case)
    for t, row in enumerate(kept.tolist()):
        split = [g for g in groups(row, case.num_groups) if len(set(g)) > 1]
        expect.require(
            not split,
            f"a group is kept whole, and its {case.size} experts are neighbours: token {t} keeps "
            f"experts {_where(row)}",
            _why_torn(kept, case),
        )


def _why_torn(kept: Tensor, case: _Grouped) -> str:
    """The question about groups whose experts are not neighbours."""
    every, num_groups = range(case.num_groups * case.size), case.num_groups
    best = [set(kept_experts(row, num_groups, case.top_groups)) for row in case.scores().tolist()]
    if kept.tolist() == [[i % num_groups * case.size in own for i in every] for own in best]:
        return (
            f"The groups are the right ones, and their mask falls on experts that are {num_groups} "
            f"apart: does `repeat` spread it? Each of its places stands for {case.size} neighbours."
        )
    return (
        "Which experts are group 0, when groups are scored and when they are kept? With groups of "
        f"{case.size} they are 0 to {case.size - 1}, both times."
    )


def _where(row: list[bool]) -> list[int]:
    return [i for i, here in enumerate(row) if here]


_OTHER_STRENGTHS: dict[str, Strength] = {
    "Is a group's score its highest score alone? It is the sum of its two highest.": max,
    "Is a group's score the sum or mean of all its scores? Only its two highest count.": sum,
    "Are the two highest numbers summed, or the two that stand first?": lambda g: g[0] + g[1],
    "Do the lowest groups stay?": lambda group: -top_two(group),
    "Are the two highest summed, and not the second taken alone?": lambda g: sorted(g)[-2],
    "Are only the two highest summed, and no third?": lambda g: sum(sorted(g)[-3:]),
    "Do the two highest count with their signs, and without `abs`?": lambda g: sum(
        sorted(map(abs, g))[-2:]
    ),
    "Are the two highest summed, and not multiplied?": lambda g: sorted(g)[-1] * sorted(g)[-2],
    "Is it the two highest that count, and not the two lowest?": lambda g: sum(sorted(g)[:2]),
    "Is it the two highest that count, and not the two furthest from 0?": lambda g: sum(
        sorted(g, key=abs)[-2:]
    ),
    "Are the scores summed as they are, without a softmax?": lambda g: sum(
        math.exp(score) for score in sorted(g)[-2:]
    ),
}


_WHICH = (
    "Is a group's score the sum of its two highest, and do the groups of the highest scores stay?"
)


def _groups_best(answer, case: _Grouped) -> None:
    scores, (_, kept) = case.scores().tolist(), _kept(answer, case)
    got = [_where(row) for row in kept.tolist()]

    def wanted(strength: Strength) -> list[list[int]]:
        return [kept_experts(row, case.num_groups, case.top_groups, strength) for row in scores]

    clear = [is_clear(row, case.num_groups) for row in scores]
    for t, (row, want) in enumerate(zip(scores, wanted(top_two), strict=True)):
        if got[t] == want or not clear[t]:
            continue
        strengths = ", ".join(f"{top_two(group):.2f}" for group in groups(row, case.num_groups))
        asks = [
            ask
            for ask, other in _OTHER_STRENGTHS.items()
            if all(a == b for a, b, sure in zip(got, wanted(other), clear, strict=True) if sure)
        ]
        if len(got) > 1 and all(row == got[0] for row in got):
            asks = ["Does each token keep its own groups?"]
        raise Wrong(
            f"token {t}'s groups count [{strengths}], so it keeps experts {want}, and it kept "
            f"{got[t]}. {expect.joined(asks) or _WHICH}"
        )


def _groups_use(answer, case: _Grouped) -> Used:
    scores = case.scores()
    return lambda: answer(scores, case.num_groups, case.top_groups), lambda: {"scores": scores}


check_keep_top_groups = Check(
    id="D2.3a",
    name="keep_top_groups",
    reference_answer=reference.keep_top_groups,
    draw=_groupeds,
    stages={
        "shape and type": _groups_shape,
        "inputs untouched": untouched(_groups_use),
        "scores as they were, or -inf": _groups_values,
        "whole groups of neighbouring experts": _groups_neighbours,
        "the groups with the greatest sum of two": _groups_best,
    },
    hints=(
        "12 experts in 4 groups: which experts are group 1, and what does the group count?",
        "Look at scores.unflatten(1, (num_groups, -1)), which is (T, groups, experts), and at "
        "topk(2, dim=-1) of it.",
        "From (T, E) to (T, groups, experts): unflatten. A group's score is the sum of its two "
        "highest; take the top_groups best groups, make a mask (T, groups) that is False there, "
        "masked_fill the others with -inf, flatten again.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64), 8, 4),
        run=lambda function, inputs: function(*inputs).nan_to_num(neginf=-99.0),
    ),
)
