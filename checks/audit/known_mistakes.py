"""Known mistakes to look at: the wrong answers that the check of an exercise refuses."""

from checks import CHECKS
from checks.audit.answers import answers_to


def known_mistakes(exercise: str) -> dict[str, object]:
    """The wrong answers to an exercise by their names, in the order of the bank.

    Raises `ValueError` if no exercise has this id.
    """
    if exercise not in CHECKS:
        raise ValueError(f"exercise must be one of {', '.join(CHECKS)}, got {exercise!r}")
    return {answer.__name__: answer for answer in answers_to(CHECKS[exercise]).wrong}
