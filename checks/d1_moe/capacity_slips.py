"""Other shares of dropped choices, each by the question about the slip that makes it."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Fill:
    """Choices `(T, K)` that come one by one to experts with room for so many rows each."""

    experts: Tensor
    num_experts: int
    factor: float

    @property
    def choices(self) -> int:
        return self.experts.numel()

    @property
    def even(self) -> float:
        """`factor` times the even share, not rounded."""
        return self.factor * self.choices / self.num_experts

    @property
    def capacity(self) -> int:
        return int(self.even)

    @cached_property
    def load(self) -> list[int]:
        return _loads(self.experts, self.num_experts)

    def beyond(self, capacity: float) -> float:
        """The share that finds no room where each expert takes `capacity` rows."""
        return _beyond(self.load, capacity) / self.choices


def _loads(experts: Tensor, num_experts: int) -> list[int]:
    count = Counter(experts.flatten().tolist())
    return [count[i] for i in range(num_experts)]


def _beyond(load: list[int], capacity: float) -> float:
    return sum(max(rows - capacity, 0) for rows in load)


def slips(fill: Fill) -> dict[str, float]:
    """Other shares by the question that each calls for."""
    return {
        **_of_rounding(fill),
        **_of_even_share(fill),
        **_of_room(fill),
        **_of_counting(fill),
        **_of_whole(fill),
    }


def _of_rounding(fill: Fill) -> dict[str, float]:
    """The capacity is rounded otherwise."""
    even, beyond, share = fill.even, fill.beyond, fill.choices // fill.num_experts
    floors = {
        f"Is the capacity kept from falling below some number? It is {rows}, where it may be less."
        if rows > 1
        else "Is the capacity rounded down, which may be 0, and neither up nor to at least 1?": (
            beyond(max(rows, fill.capacity))
        )
        for rows in range(1, 11)
    }
    return {
        "Is the capacity rounded down to whole rows?": beyond(even),
        "Is the even share T·K / num_experts rounded before it is multiplied by capacity_factor? "
        "Only the product is rounded.": beyond(int(fill.factor * share)),
        "Is capacity_factor rounded on its own? Only the product is.": beyond(
            int(fill.factor) * fill.choices // fill.num_experts
        ),
        "Is the capacity rounded down, and not to the nearest whole number?": beyond(round(even)),
        "Is the capacity rounded down, and not up?": beyond(math.ceil(even)),
        **floors,
    }


def _of_even_share(fill: Fill) -> dict[str, float]:
    """The even share is another's."""
    choices, factor, beyond = fill.choices, fill.factor, fill.beyond
    chosen = sum(rows > 0 for rows in fill.load)
    numbered = max(i for i, rows in enumerate(fill.load, start=1) if rows)
    return {
        "Is the even share that of the T·K choices, and not of the T tokens?": beyond(
            int(fill.even / fill.experts.shape[1])
        ),
        "Is the even share that of all num_experts, also of those that nobody chose?": beyond(
            int(factor * choices / chosen)
        ),
        "Is the even share that of all num_experts, also of the last ones, where nobody chose "
        "them? `bincount` without `minlength` ends before them.": beyond(
            int(factor * choices / numbered)
        ),
        "Is the even share that of num_experts, and not always of 4?": beyond(
            int(factor * choices / 4)
        ),
        "Does capacity_factor reach the capacity?": beyond(choices // fill.num_experts),
        "Does the capacity grow with the number of choices, T·K? Here it is 0, and every choice "
        "is dropped.": beyond(0),
    }


def _of_room(fill: Fill) -> dict[str, float]:
    """The capacity is right, and an expert takes another number of rows."""
    capacity, load, choices = fill.capacity, fill.load, fill.choices
    return {
        "Does each expert take `capacity` rows, and not one more? Counted from 0, row number "
        "`capacity` finds no room.": fill.beyond(capacity + 1),
        "Does each expert take `capacity` rows, and not one less? It is full after them, and not "
        "with the last of them.": fill.beyond(capacity - 1),
        "Does an expert that is too full still take its first `capacity` rows? Only those beyond "
        "them are dropped.": sum(rows for rows in load if rows > capacity) / choices,
        "Does every expert that is too full drop rows, and not the busiest alone?": (
            max(max(load) - capacity, 0) / choices
        ),
        "Does an expert with room to spare drop fewer than none? Cut off at 0 for each expert.": (
            max(choices - fill.num_experts * capacity, 0) / choices
        ),
        "Does an expert with room to spare drop fewer than none? Is each expert's number cut off "
        "at 0?": (choices - fill.num_experts * capacity) / choices,
        "Does an expert with room to spare drop none? Its number is cut off at 0, and not at 1.": (
            sum(max(rows - capacity, 1) for rows in load) / choices
        ),
        "Are empty places counted as well? An expert with room to spare drops none.": (
            sum(abs(rows - capacity) for rows in load) / choices
        ),
        "Is the capacity taken off the load, and not added to it?": (
            sum(rows + capacity for rows in load) / choices
        ),
    }


def _of_counting(fill: Fill) -> dict[str, float]:
    """Something else than the choices of all tokens is counted."""
    tokens, top_k = fill.experts.shape
    slots = [Fill(slot, fill.num_experts, fill.factor) for slot in fill.experts.split(1, dim=1)]
    of_slots = [slot.beyond(slot.capacity) for slot in slots]
    in_a_byte = _loads(fill.experts % 256, fill.num_experts)
    hurt, too_full = _hurt(fill), sum(rows > fill.capacity for rows in fill.load)
    return {
        "Is it a share of the T·K choices, and not of the T tokens?": (
            fill.beyond(fill.capacity) * top_k
        ),
        "Are choices counted, and not the tokens that lose one?": hurt / tokens,
        "Are all choices counted that find no room, and not one for each token?": (
            hurt / fill.choices
        ),
        "Are choices counted, and not the experts that are too full?": too_full / fill.num_experts,
        "Are all K choices of a token counted, and not its first alone?": of_slots[0],
        "Is an expert's room one for all K slots together?": sum(of_slots) / top_k,
        "Are the experts' numbers held in a type of few bits, in which 256 becomes 0?": (
            _beyond(in_a_byte, fill.capacity) / fill.choices
        ),
    }


def _hurt(fill: Fill) -> int:
    """How many tokens lose a choice or more in a slow fill."""
    taken, hurt = [0] * fill.num_experts, 0
    for row in fill.experts.tolist():
        hurt += any(taken[i] >= fill.capacity for i in row)
        for i in row:
            taken[i] += 1
    return hurt


def _of_whole(fill: Fill) -> dict[str, float]:
    """The right number of dropped choices, told otherwise."""
    share, room = fill.beyond(fill.capacity), fill.num_experts * fill.capacity
    rounded = {
        f"Is the share rounded to {digits} digits? The check wants five.": round(share, digits)
        for digits in range(1, 5)
    }
    return {
        "Is it a share of the choices, and not of the rows there is room for?": (
            share * fill.choices / room if room else -1.0
        ),
        "Is it the dropped share, and not the kept one?": 1 - share,
        "Is that how many choices are dropped? Their share is asked for.": share * fill.choices,
        "Is the number of dropped choices divided by T·K, and not multiplied?": (
            share * fill.choices**2
        ),
        "Is that in percent? It is a plain share, from 0 to 1.": 100 * share,
        **rounded,
    }
