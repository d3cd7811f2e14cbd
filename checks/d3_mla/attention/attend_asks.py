"""What is asked of an output of attend, or of an error in it."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor

from checks.d3_mla.attention.attend_cases import Attending
from checks.d3_mla.rotation import slow_turn, theta_angles
from checks.grading import expect

ASK_WHOLE = "Are later positions -inf before the softmax, and a query's own position not?"
ASK_NONE = "Is anything hidden where fewer queries come in than keys?"
ASK_NEW = "It sees nothing of what came before the new positions: are all S keys scored?"
ASK_CHUNK = "Do the queries belong to the last L positions?"
_ASK_PRODUCT = "Are both parts of the scores added, and not multiplied?"
_ASK_PART = "Does this part of the scores come in?"
_ASK_TURNED = "Is anything to be turned here? q_rotary and k_rotary come turned."


@contextmanager
def asks_of_raised(length: int, seen: int) -> Iterator[None]:
    """An error that speaks of L queries where S positions are, or of a rotation, asks about it."""
    either = rf"\(?({length}|{seen})\)?"
    here = f"Here L = {length} queries meet S = {seen} positions"
    asks = {_ASK_TURNED: "even width"}
    if length != seen:
        asks |= {
            f"{here}: is the mask (L, S), as the scores are, or are the two mixed up?": (
                rf"tensor a {either} must match .* tensor b {either} "
            ),
            f"{here}: is one taken for the other in the einsum?": (
                rf"subscript . has size {either} .* seen size {either}$"
            ),
        }
    with ExitStack() as stack:
        for ask, said in asks.items():
            stack.enter_context(expect.asking(ask, said))
        yield


def expect_no_nan(y: Tensor) -> None:
    """Raise Wrong if NaN came out: everywhere, as of 0 · inf, or where a query sees nothing."""
    nan = y.isnan()
    expect.require(
        not nan.any() or not nan.all(),
        "the output must be finite, and every number of it is NaN",
        "Is a mask multiplied by infinity, where 0 · inf is NaN, or is every position hidden?",
    )
    expect.require(
        not nan.any(),
        "the output must be finite, got NaN, as a softmax makes it where every score is -inf",
        "Does the softmax run over heads or queries, and not over the positions seen? Or are the "
        "earlier positions hidden, where the later ones are to be?",
    )


def why_seen(found: list[int], case: Attending) -> str:
    """What the positions seen by a query tell where there are more keys than queries."""
    if case.length == case.seen:
        return ""
    if len(found) == case.seen:
        return ASK_NONE
    return ASK_NEW if found and found[0] >= case.seen - case.length else ""


def why_others(moved: list[bool], head: int) -> str:
    """What another q_rotary tells that moves other heads: `moved` is by another q_content."""
    if not any(moved[:head] + moved[head + 1 :]):
        return "Do all heads share k_rotary alone, and has each its own q_rotary?"
    return (
        "Another q_content does so too: are weights mixed with those of other heads, or heads and "
        "positions exchanged by reshape, where transpose is due?"
    )


def why_score(got: float, d: int, r: int, case: Attending, is_product: Callable[[], bool]) -> str:
    """What a score tells that must be (d + r) / sqrt(d_head + d_rope), of parts of ones."""
    width = case.d_head + case.d_rope
    root = math.sqrt(width)
    slips = (
        (d + r, "Where are both parts of the scores divided by sqrt(d_head + d_rope)?"),
        ((d + r) / width, "Are the scores divided once, and by the square root of the width?"),
        ((d + r) * 2 / width, "Is it half the width, and not its root? `** 1 / 2` halves."),
        ((d + r) * root, "Are the scores divided by the root, and not multiplied?"),
        ((d + case.batch * r) / root, "Has each sequence its own k_rotary, and not all summed?"),
        (0, _ASK_PRODUCT if abs(got) < 1e-3 and is_product() else _ASK_PART),
        ((d - r) / root, "Are the two scores added?"),
        (math.inf, "Is a position hidden because its score is 0?"),
    )
    asks = [ask for slip, ask in slips if got == slip or abs(got - slip) < 1e-3]
    return (
        expect.joined(asks)
        if asks
        else "Is the scale 1/sqrt(d_head + d_rope), the same for both parts?"
    )


def turned_again(parts: dict[str, Tensor], case: Attending) -> dict[str, Tensor]:
    """The rotary parts turned by their positions; as they are, where their width is odd."""
    if case.d_rope % 2:
        return {}
    angles = theta_angles(case.d_rope)
    return {
        "q_rotary": slow_turn(parts["q_rotary"], case.seen - case.length, angles),
        "k_rotary": slow_turn(parts["k_rotary"], 0, angles),
    }
