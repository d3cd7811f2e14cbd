"""What slips in one absorbed step of decoding make of the same weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.attention.layer_cases import SlowAttention
from checks.d3_mla.attention.layer_slips import slips_of_merging, slips_of_parts
from checks.d3_mla.rotation import Angles, slow_turn
from checks.grading import expect

NORMED = "Is x normed in the layer? That norm is the block's work."
_KV = "latent.kv_up.weight"


def asked(got: Tensor, true: SlowAttention, x: Tensor, bound: float) -> str:
    """The questions of the slips that make `got`, the output `(B, D)` for the last token of x.

    Those of one step come first, and those of the whole attention where none of them fits.
    """
    for slips in (_of_steps(true, x), slips_of_merging(true, x) | slips_of_parts(true, x)):
        asks = [ask for ask, slip in slips.items() if expect.near(got, slip()[:, -1], bound)]
        if asks:
            return expect.joined(asks)
    return ""


def _of_steps(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    return {
        **_of_widths(true, x),
        **_of_weights(true, x),
        **_of_positions(true, x),
        **_of_heads(true, x),
        "Is x added to the output? The residual is the block's work.": lambda: true(x) + x,
        NORMED: lambda: true(over_its_size(x)),
    }


def over_its_size(x: Tensor, eps: float = 0.0) -> Tensor:
    """Rows with a root mean square of 1."""
    return x.double() / (x.double().square().mean(-1, keepdim=True) + eps).sqrt()


def _of_widths(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Scores divided by another width, or times the scale once more."""
    case = true.case

    def scaled(width: int) -> Callable[[], Tensor]:
        return lambda: true(x, ((case.d_head + case.d_rope) / width) ** 0.5)

    by = "The scores are those of keys of width d_head + d_rope, whatever space they meet in."
    widths = {
        "d_latent + d_rope": case.d_latent + case.d_rope,
        "d_latent": case.d_latent,
        "d_head + d_value": case.d_head + case.d_value,
    }
    heads = "Are they divided by sqrt(d_head + num_heads)? d_rope is q_rotary's last dimension."
    return {f"Are they divided by sqrt({name})? {by}": scaled(n) for name, n in widths.items()} | {
        heads: scaled(case.d_head + case.num_heads),
        "Is scale multiplied in once? The queries come with it already.": lambda: true(
            x, case.scale
        ),
    }


def _of_weights(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Other weights of the positions."""
    last = x.shape[1] - 1
    return {
        "Does the new token see itself? cache.append returns its latent too.": lambda: (
            true.seeing(x, lambda i: max(i, 1)) if last else torch.zeros_like(true(x))
        ),
        "Does the new token see position 0 alone? It may see all that are cached: is a mask "
        "aligned to the start?": lambda: true.seeing(x, lambda i: 1),
        "Does the new token see those before it, and not itself alone?": lambda: torch.cat(
            [true(x[:, i : i + 1]) for i in range(last + 1)], dim=1
        ),
        "Does the softmax run over the positions seen, and not over the heads?": lambda: (
            true.softmax_over(x, 1)
        ),
        "Do the weights of a head sum to 1 over the positions? Over the one query each is 1.": (
            lambda: _weighed(true, x, torch.ones_like)
        ),
        "Is there a softmax? With one position seen its weight is 1.": lambda: _weighed(
            true, x, lambda scores: scores
        ),
    }


def _weighed(true: SlowAttention, x: Tensor, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    """The output, if the weights of the positions seen were `weigh` of the scores."""
    latent, key = true.cached(x)
    keys, values = true.heads(latent)
    content, rotary = true.queries(x)
    scores = torch.einsum("blhd,bshd->bhls", content, keys)
    scores = scores + torch.einsum("blhr,bsr->bhls", rotary, key)
    weights = weigh(scores / (true.case.d_head + true.case.d_rope) ** 0.5).tril()
    return true.out(torch.einsum("bhls,bshv->blhv", weights, values).flatten(-2))


def _of_positions(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The new token's query or key turned by another position."""
    last = x.shape[1] - 1

    def placed(shift: int, *names: str) -> Callable[[], Tensor]:
        def turn(rows: Tensor, start: int, angles: Angles) -> Tensor:
            turned = slow_turn(rows, start, angles)
            turned[:, last:] = slow_turn(rows[:, last:], start + last + shift, angles)
            return turned

        turns: dict[str, Any] = dict.fromkeys(names, turn)
        return lambda: replace(true, **turns)(x)

    query, key = "query_turn", "key_turn"
    late = "one position too late? Theirs is len(cache) before the append, with nothing added."
    return {
        f"Do queries and rotary key stand {late}": placed(1, query, key),
        f"Do the queries stand {late}": placed(1, query),
        f"Does the rotary key stand {late.replace('Theirs', 'Its own')}": placed(1, key),
        "Do queries and rotary key get the position len(cache)?": placed(-last, query, key),
        "Do the queries get the position len(cache)?": placed(-last, query),
        "Does the rotary key get the position len(cache)?": placed(-last, key),
    }


def _of_heads(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """W_UK and W_UV read otherwise, or one part of the scores left undivided."""
    case, heads = true.case, true.case.num_heads
    root = (case.d_head + case.d_rope) ** 0.5
    W_UK, W_UV = (
        true.weights[_KV].unflatten(0, (heads, -1)).split([case.d_head, case.d_value], dim=1)
    )

    def read(W_UK: Tensor, W_UV: Tensor) -> Callable[[], Tensor]:
        rows = torch.cat([W_UK, W_UV], dim=1).flatten(0, 1)
        return lambda: replace(true, weights={**true.weights, _KV: rows})(x)

    k_down = "rotary_key.k_down.weight"
    longer = {**true.weights, k_down: root * true.weights[k_down]}
    both = "Are both parts of the scores divided, and not {} alone?"
    keys_again = W_UK.repeat(1, -(-case.d_value // case.d_head), 1)[:, : case.d_value]
    return {
        "Is W_UK turned by a reshape? Only a transpose exchanges d_head and d_latent.": read(
            W_UK.reshape(heads, -1, case.d_head).mT, W_UV
        ),
        "Is it W_UV, the rows after the first d_head of each head, that expands the mixture?": read(
            W_UK, keys_again
        ),
        "Does every head's query absorb its own W_UK, and not the first head's?": read(
            W_UK[:1].expand_as(W_UK), W_UV
        ),
        both.format("the content"): lambda: replace(true, weights=longer)(x),
        both.format("the rotary part"): read(root * W_UK, W_UV),
    }
