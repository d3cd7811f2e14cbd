"""What a diagram is given, as plain numbers, or a ValueError that names the argument."""

from collections.abc import Sequence

import numpy as np

from helpers.plots.palette import choices, numbers, validate_length


def at_most(name: str, value: int, most: int) -> int:
    """`value`, from 1 to `most`: more would not be readable."""
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be between 1 and {most} to be drawn, got {value}")
    return value


def gates_and_experts(
    gates: object, experts: object, shape: str, num_experts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both of `shape`, the experts as whole numbers below `num_experts`."""
    weights, chosen = (
        numbers("gates", gates, shape),
        choices("experts", experts, shape, num_experts),
    )
    if weights.shape != chosen.shape:
        raise ValueError(
            f"gates and experts must have one shape, got {weights.shape} and {chosen.shape}"
        )
    return weights, chosen


def tidy(words: Sequence[str], length: int, of: str) -> list[str]:
    """The words, one for each `of`, without spaces around them; a space and a newline as signs."""
    validate_length("words", words, of, length)
    return [word.strip() or ("↵" if "\n" in word else "␣") for word in words]


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, thing: str) -> str:
    """ "1 expert", "8 experts", "129,280 words"."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def big(number: int) -> str:
    """A count in words of three digits: "671B", "1.09B", "37.6M", "512"."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            value = number / size
            return f"{value:,.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"
    return str(number)
