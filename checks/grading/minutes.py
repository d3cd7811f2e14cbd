"""How many minutes an exercise takes a person, as `python -m lessons.minutes` reckoned it."""

import json
from functools import cache

from checks.learner_files import paths


def minutes_of(exercise: str) -> int:
    """The minutes of the exercise with this id; raises `KeyError` where the lessons have none."""
    return _kept()[exercise]


@cache
def _kept() -> dict[str, int]:
    return json.loads((paths.CHECKS / "minutes.json").read_text(encoding="utf-8"))["exercises"]
