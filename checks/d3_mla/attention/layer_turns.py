"""What slips in turning and in the use of a cache make of the whole attention's output."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from checks.d3_mla.attention.layer_cases import SlowAttention, as_it_is, turned_in_halves
from checks.d3_mla.rotation import THETA, Angles, slow_turn, theta_angles

_WITHOUT = "both with a query latent and without"
_Turn = Callable[[Tensor, int, Angles], Tensor]


def slips_of_turns(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of parts that are turned by something else, or not at all."""

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    return {
        "Are neither rotary queries nor the rotary key turned?": changed(
            query_turn=as_it_is, key_turn=as_it_is
        ),
        "Are the rotary queries turned too?": changed(query_turn=as_it_is),
        "Is the rotary key turned too?": changed(key_turn=as_it_is),
        "Are rotary pairs neighbours (0, 1), (2, 3), … and not halves?": changed(
            query_turn=turned_in_halves, key_turn=turned_in_halves
        ),
        **_slips_of_settings(true, x),
        **_slips_of_too_many(true, x),
        "Are queries and key turned by their position, and not by their row of the batch? "
        "Positions are dimension 1 of what `rotate` gets.": changed(
            query_turn=_turned_along(0), key_turn=_turned_along(0)
        ),
        "Is the rotary key turned by its position, and not by its row of the batch? Positions are "
        "dimension 1 of what `rotate` gets.": changed(key_turn=_turned_along(0)),
        "Are the queries turned by their position, and not by their row of the batch? Positions "
        "are dimension 1 of what `rotate` gets.": changed(query_turn=_turned_along(0)),
        "Are the queries turned by their position, and not by their head? Positions are dimension "
        "1 of what `rotate` gets, heads dimension 2.": changed(query_turn=_turned_along(2)),
        "Are the rotary queries cut into heads before they are turned? Each head has the same "
        "angles.": changed(query_turn=_turned_before_heads(true.case.theta)),
    }


def _slips_of_settings(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Theta, angles and scale that are not handed on."""
    case = true.case

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    def by_default(rows: Tensor, start: int, angles: Angles) -> Tensor:
        return slow_turn(rows, start, theta_angles(rows.shape[-1]))

    slips = {
        "Is theta handed on to queries and key?": changed(case=replace(case, theta=THETA)),
        "Are the angles handed on to queries and key?": changed(case=replace(case, angles=None)),
        f"Do the queries take theta or angles {_WITHOUT}?": changed(query_turn=by_default),
    }
    if case.scale == 1:
        return slips
    plain = replace(case, scale=1.0)
    return slips | {
        "Is the scale handed on to the queries?": changed(case=plain),
        f"Do the queries take scale and angles {_WITHOUT}?": changed(
            case=plain, query_turn=by_default
        ),
    }


def _slips_of_too_many(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What is turned that is not to be, or turned twice."""

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    whole = _turned_whole(true.case.theta)
    return {
        "Are the rotary queries turned once? `queries` turns them already.": changed(
            query_turn=_turned_twice
        ),
        "Is the rotary key turned once? `rotary_key` turns it already.": changed(
            key_turn=_turned_twice
        ),
        "Are rotary queries and key turned once? `queries` and `rotary_key` turn them already.": (
            changed(query_turn=_turned_twice, key_turn=_turned_twice)
        ),
        "Is the content turned too? Only the rotary parts of queries and key are.": changed(
            content_turn=whole
        ),
        "Are the values turned? Only the rotary parts of queries and key are.": changed(
            value_turn=whole
        ),
    }


def slips_of_cache(true: SlowAttention, x: Tensor, lengths: list[int]) -> dict:
    """What comes of a slip in the use of a cache, be it empty or filled, if x is passed in chunks
    of these lengths.
    """
    ends = [sum(lengths[: k + 1]) for k in range(len(lengths))]

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    on = _turned_from(lengths, ends)
    return {
        "Is len(cache) read after the append, for the queries? It is the start before it.": changed(
            query_turn=on
        ),
        "Is len(cache) read after the append, for queries and key? It is the start before it.": (
            changed(query_turn=on, key_turn=on)
        ),
        "Is what comes back from the cache turned once more? It was turned before the append.": (
            changed(key_turn=_turned_twice)
        ),
    }


def slips_of_chunks(true: SlowAttention, x: Tensor, lengths: list[int]) -> dict:
    """What comes of a slip with a filled cache, if x is passed in chunks of these lengths."""
    begins = [sum(lengths[:k]) for k in range(len(lengths))]
    starts = [begin for begin, n in zip(begins, lengths, strict=True) for _ in range(n)]
    ends = [begin + n for begin, n in zip(begins, lengths, strict=True) for _ in range(n)]
    zero = _turned_from(lengths, [0] * len(lengths))
    less = _turned_from(lengths, [max(begin - 1, 0) for begin in begins])

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(x)

    last = "The L queries are the last L of the S positions."
    return slips_of_cache(true, x, lengths) | {
        "Do keys and values come from the new positions alone? cache.append returns all.": lambda: (
            torch.cat([true(part) for part in x.split(lengths, 1)], dim=1)
        ),
        "Do queries and key get the position that x starts at, len(cache)?": changed(
            query_turn=zero, key_turn=zero
        ),
        "Do the queries get the position that x starts at, len(cache)?": changed(query_turn=zero),
        "Does the key get the position that x starts at, len(cache)?": changed(key_turn=zero),
        "Is it one less than len(cache) that x starts at? The first new position is len(cache).": (
            changed(query_turn=less, key_turn=less)
        ),
        f"Does the mask take the queries for the first positions? {last}": lambda: true.seeing(
            x, lambda i: i - starts[i] + 1
        ),
        f"Are later positions hidden with a filled cache too? {last}": lambda: true.seeing(
            x, lambda i: ends[i] if starts[i] else i + 1
        ),
    }


def _turned_from(lengths: list[int], starts: list[int]) -> _Turn:
    """Chunks of these lengths, each turned as if it began at its one of `starts`."""

    def turn(rows: Tensor, start: int, angles: Angles) -> Tensor:
        parts = zip(rows.split(lengths, dim=1), starts, strict=True)
        return torch.cat([slow_turn(part, at, angles) for part, at in parts], dim=1)

    return turn


def _turned_twice(rows: Tensor, start: int, angles: Angles) -> Tensor:
    return slow_turn(slow_turn(rows, start, angles), start, angles)


def _turned_along(dim: int) -> _Turn:
    """Another dimension is taken for the positions."""
    return lambda rows, start, angles: slow_turn(rows.transpose(1, dim), start, angles).transpose(
        1, dim
    )


def _turned_whole(theta: float) -> _Turn:
    """By theta's angles for the rows' own width, but for the last number of an odd one."""

    def turn(rows: Tensor, start: int, _: Angles) -> Tensor:
        even = rows.shape[-1] // 2 * 2
        turned = slow_turn(rows[..., :even], start, theta_angles(even, theta))
        return torch.cat([turned, rows[..., even:]], dim=-1)

    return turn


def _turned_before_heads(theta: float) -> _Turn:
    """All heads' rows as one vector."""

    def turn(rows: Tensor, start: int, angles: Angles) -> Tensor:
        line = rows.flatten(-2)
        return slow_turn(line, start, theta_angles(line.shape[-1], theta)).reshape(rows.shape)

    return turn
