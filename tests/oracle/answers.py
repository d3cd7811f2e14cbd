"""The answers of the bank, of all lessons."""

from collections.abc import Callable, Iterator

from checks import CHECKS
from checks.audit.answers import answers_to


def answers(kind: str) -> Iterator[tuple[str, Callable]]:
    """Every answer of a kind, "right" or "wrong", with the exercise it answers."""
    for exercise, check in CHECKS.items():
        for answer in getattr(answers_to(check), kind):
            yield exercise, answer
