"""Known slips to look at: the wrong answers that the audit holds against a check."""

import importlib

from checks import LESSONS


def slips(exercise: str) -> dict[str, object]:
    """The wrong answers of an exercise by their names, in the order they are kept."""
    for lesson, checks in LESSONS.items():
        if exercise in [check.id for check in checks]:
            bank = importlib.import_module(f"checks.answers.{lesson}").bank
            return {answer.__name__: answer for answer in bank.answers[exercise].wrong}
    known = ", ".join(check.id for checks in LESSONS.values() for check in checks)
    raise ValueError(f"exercise must be one of {known}, got {exercise!r}")
