"""The check of D3.3d: causal attention whose keys have a content part and a shared rotary part."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.attention.attend_asks import (
    ASK_CHUNK,
    ASK_WHOLE,
    asks_of_raised,
    expect_no_nan,
    turned_again,
    why_others,
    why_score,
    why_seen,
)
from checks.d3_mla.attention.attend_cases import NAMES, Attending, attendings
from checks.d3_mla.attention.extremes import (
    ASK_HIDDEN,
    ASK_LENGTH,
    LONG,
    STEEP,
    expect_finite,
    of_long,
)
from checks.d3_mla.cases import HEADS, SMALL, bound_of, in_bfloat16, in_single, slow_attend
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d3_mla as reference


def _output(answer, parts: dict[str, Tensor]) -> object:
    with asks_of_raised(parts["q_content"].shape[1], parts["k_content"].shape[1]):
        return answer(*(parts[name].clone() for name in NAMES))


def _attend(answer, case: Attending, parts: dict[str, Tensor]) -> Tensor:
    """The output, once it has the right kind."""
    queries, values = parts["q_content"], parts["values"]
    shape = *queries.shape[:3], values.shape[-1]
    y = _output(answer, parts)
    if isinstance(y, Tensor):
        expect_no_nan(y)
    other = getattr(y, "shape", None) != shape
    ask = "It has one row per query and head, as wide as a value." if other else ""
    return expect.tensor(
        y, "the output", shape, case.dtype, ask, (*TOKENS[:2], "heads", "d_value")
    ).detach()


def _attend_shape(answer, case: Attending) -> None:
    """Where every query has something before it to see."""
    if case.length < case.seen:
        _attend(answer, case, case.parts())


def _attend_narrow(answer, case: Attending) -> None:
    with expect.asking("Is a mask made in torch's default type?", "^RuntimeError: .*dtype"):
        _attend(answer, case, case.parts())


def _attend_one(answer, case: Attending) -> None:
    """With one position seen there is nothing to choose from."""
    parts = {name: part[:, :1] for name, part in case.parts().items()}
    values, when = parts["values"], "with one position to see, whose value comes back"
    raw = _output(answer, parts)
    expect.require(
        not isinstance(raw, Tensor) or not raw.isnan().any(),
        f"the output {when}, must be that value, got NaN",
        "Does a query see its own position?",
    )
    got = _attend(answer, case, parts)
    slips = {
        "Does each head mix its own values?": lambda: values[:, :, :1].expand_as(values),
        "A softmax over one position gives it the weight 1, in every head.": lambda: got,
    }
    expect.close(got, values, "the output", axes=HEADS, when=when, slips=slips)


def _attend_constant(answer, case: Attending) -> None:
    """Whatever the weights are, values that are the same at all positions come back."""
    parts = case.parts()
    same = parts["values"][:, :1]
    got = _attend(answer, case, parts | {"values": same.expand_as(parts["values"])})
    want = same.expand_as(got)
    slips = {
        _TRANSPOSE: lambda: want.transpose(1, 2).reshape(want.shape),
        "Do the weights of a query sum to 1 over the S positions, with nothing after the softmax, "
        "and has each head its own values?": lambda: got,
    }
    when = "with values that are the same at all positions"
    expect.close(got, want, "the output", axes=HEADS, when=when, slips=slips)


_TRANSPOSE = "Are heads and positions exchanged by transpose, and not by reshape?"


def _attend_whole(answer, case: Attending) -> None:
    _expect_seen(answer, replace(case, length=case.seen), ASK_WHOLE)


def _attend_chunk(answer, case: Attending) -> None:
    if case.length < case.seen:
        _expect_seen(answer, case, ASK_CHUNK)


def _expect_seen(answer, case: Attending, ask: str) -> None:
    """Values that are one-hot in the position show the weights; small queries hide none."""
    parts = case.parts()
    for name in ("q_content", "q_rotary"):
        parts[name] = parts[name] / 10
    shape = case.batch, case.seen, case.num_heads, case.seen
    eye = torch.eye(case.seen, dtype=case.dtype)[:, None].expand(shape)
    weights = _attend(answer, case, parts | {"values": eye})
    for b, i, h in torch.cartesian_prod(*map(torch.arange, weights.shape[:3])).tolist():
        own = case.seen - case.length + i
        right = f"positions 0 to {own}" if own else "that position alone"
        found = (weights[b, i, h].abs() > 1e-6).nonzero().flatten().tolist()
        expect.require(
            found == list(range(own + 1)),
            f"query {i} of {case.length}, at position {own}, must see {right}, and "
            f"in head {h} of sequence {b} it sees {', '.join(map(str, found)) or 'none'}",
            why_seen(found, case) or ask,
        )


def _attend_rotary(answer, case: Attending) -> None:
    """Another q_rotary in one head: that head's output is another, and no other head's."""
    if case.seen == 1:
        return
    parts = case.parts()
    before = _attend(answer, case, parts)
    for h in range(case.num_heads):
        rotary = parts["q_rotary"].clone()
        rotary[:, :, h] = 3 * rotary[:, :, h].flip(-1) + 1
        after = _attend(answer, case, parts | {"q_rotary": rotary})
        moved = _moved(after, before)
        expect.require(
            moved[h],
            f"another q_rotary in head {h} must change the output of head {h}, and it does not",
            "Are the rotary scores added to the content scores, for every head?",
        )
        others = [i for i in range(case.num_heads) if i != h and moved[i]]
        expect.require(
            not others,
            f"another q_rotary in head {h} must change no other head, and it changes "
            f"head {others[0] if others else h}",
            _why_others(answer, case, before, h) if others else "",
        )


def _moved(after: Tensor, before: Tensor) -> list[bool]:
    """Which heads' outputs differ."""
    return ((after - before).abs().amax((0, 1, 3)) > 1e-5).tolist()


def _why_others(answer, case: Attending, before: Tensor, head: int) -> str:
    parts = case.parts()
    parts["q_content"][:, :, head] = 3 * parts["q_content"][:, :, head].flip(-1) + 1
    return why_others(_moved(_attend(answer, case, parts), before), head)


def _attend_scale(answer, case: Attending) -> None:
    """One query of ones, a key of zeros and a key of ones: their weights tell the score."""
    width = case.d_head + case.d_rope
    for content, rotary in ((1, 0), (0, 1), (1, 1)):
        d, r = content * case.d_head, rotary * case.d_rope
        want = (d + r) / math.sqrt(width)
        got = _score(answer, replace(case, dtype=torch.float64), content, rotary, want)
        which = " and ".join(["content"] * content + ["rotary part"] * rotary)
        expect.require(
            abs(got - want) < 1e-3,
            f"query and key with {which} of ones must have the score {d + r} / sqrt({width}) = "
            f"{want:.4g}, got {got:.4g}, as the attention weights tell",
            why_score(got, d, r, case, lambda: _is_product(answer, case)),
        )


def _score(answer, case: Attending, content: float, rotary: float, want: float) -> float:
    """The score furthest from the right one, of any sequence and head."""
    batch, heads, dtype = case.batch, case.num_heads, case.dtype
    keys = torch.tensor([0, 1], dtype=dtype)
    parts = {
        "q_content": torch.full((batch, 1, heads, case.d_head), content, dtype=dtype),
        "q_rotary": torch.full((batch, 1, heads, case.d_rope), rotary, dtype=dtype),
        "k_content": keys[:, None, None].expand(batch, 2, heads, case.d_head),
        "k_rotary": keys[:, None].expand(batch, 2, case.d_rope),
        "values": torch.eye(2, dtype=dtype)[:, None].expand(batch, 2, heads, 2),
    }
    weights = _attend(answer, case, parts)
    scores = (weights[..., 1] / weights[..., 0]).log().flatten()
    return float(scores[(scores - want).abs().argmax()])


def _is_product(answer, case: Attending) -> bool:
    """Whether content scores times rotary scores come out, divided by the right root."""
    product = case.d_head * case.d_rope / math.sqrt(case.d_head + case.d_rope)
    return abs(_score(answer, replace(case, dtype=torch.float64), 1, 1, product) - product) < 1e-3


def _attend_values(answer, case: Attending) -> None:
    parts = case.parts()
    five = {name: part.double() for name, part in parts.items()}

    def slow(**changed: Tensor) -> Tensor:
        return slow_attend(*(five | changed).values())

    def first(part: Tensor, dim: int) -> Tensor:
        return part.narrow(dim, 0, 1).expand_as(part)

    slips = {
        "Has each head its own keys, and not the first head's?": lambda: slow(
            k_content=first(five["k_content"], 2)
        ),
        "Is anything to be turned here? q_rotary and k_rotary come turned.": lambda: slow(
            **turned_again(five, case)
        ),
        "Has each sequence its own k_rotary?": lambda: slow(k_rotary=first(five["k_rotary"], 0)),
    }
    got, want = _attend(answer, case, parts), slow()
    in_single(got, want, "the output")
    expect.close(got, want, "the output", axes=HEADS, slips=slips, bound=bound_of(case.dtype))
    if case.batch == 1:
        _expect_long(answer, replace(case, length=3, seen=LONG))


def _attend_steep(answer, case: Attending) -> None:
    """Scores of a thousand and more, of both signs."""
    case = replace(case, dtype=torch.float64)
    parts = case.parts()
    for name in ("q_content", "q_rotary"):
        parts[name] = STEEP * parts[name]
    when = "with scores of some thousands"
    expect_finite(_output(answer, parts), when)
    got = _attend(answer, case, parts)
    slips = {ASK_HIDDEN: lambda: got}
    want = slow_attend(*parts.values())
    expect.close(got, want, "the output", axes=HEADS, when=when, slips=slips)


def _expect_long(answer, case: Attending) -> None:
    """The last of many positions."""
    parts = case.parts()
    got = of_long(lambda: _attend(answer, case, parts))
    want = slow_attend(*(part.double() for part in parts.values()))
    when, slips = f"of the last of {LONG} positions", {ASK_LENGTH: lambda: got}
    expect.close(got, want, "the output", axes=HEADS, when=when, slips=slips)


def _attend_use(answer, case: Attending) -> Used:
    parts = case.parts()
    return lambda: answer(*parts.values()), lambda: parts


def _attend_gradients(answer, case: Attending) -> None:
    """Over two queries, with four positions seen or fewer."""
    parts = {}
    for name, part in case.parts().items():
        rows = min(case.length, 2) if name.startswith("q") else min(case.seen, 4)
        parts[name] = part[:2, -rows:].double().contiguous().requires_grad_()
    shape = _attend(answer, replace(case, dtype=torch.float64), parts).shape
    direction = SMALL * torch.randn(shape, generator=case.generator(), dtype=torch.float64)
    expect.gradient(lambda: (answer(*parts.values()) * direction).sum(), parts, case.generator())


def _compared_inputs() -> tuple[Tensor, ...]:
    return tuple(Attending(2, 32, 48, 8, 16, 8, 12, seed=0, dtype=torch.float32).parts().values())


check_attend = Check(
    id="D3.3d",
    name="attend",
    reference_answer=reference.attend,
    draw=attendings,
    stages={
        "shape and type": _attend_shape,
        "inputs untouched": untouched(_attend_use),
        "one position seen: its value comes back": _attend_one,
        "weights sum to 1: values equal at all positions come back": _attend_constant,
        "L = S: a query sees itself and what came before": _attend_whole,
        "L < S: the queries are the last L positions": _attend_chunk,
        "the rotary part of every head counts": _attend_rotary,
        "scores are divided by sqrt(d + r)": _attend_scale,
        "within 1e-5 of the loop over queries, in float64 1e-10": _attend_values,
        "scores of some thousands": _attend_steep,
        "bfloat16 goes in and comes out": in_bfloat16(_attend_narrow),
        "gradients reach all five inputs": _attend_gradients,
    },
    hints=(
        "Query i of the L stands at position S - L + i. Which of the S keys may it see?",
        "Look at the scores (B, H, L, S). Which two products make them, and which of the two has "
        "keys without a dimension for heads?",
        "einsum content queries with content keys and rotary queries with k_rotary to (B, H, L, S) "
        "each, add, divide by sqrt(d + r), fill with -inf where s > S - L + i, softmax over the "
        "last dimension, einsum with the values to (B, L, H, v).",
    ),
    compared=Comparison(inputs=_compared_inputs, run=lambda function, inputs: function(*inputs)),
)
