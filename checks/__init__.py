"""Autograded checks that explain: one per exercise, found by id in `CHECKS`.

`CHECKS` and `LESSONS` load the lessons when they are first asked for, so that the machinery needs
none of them and a notebook loads only its own.
"""

import importlib

import helpers  # noqa: F401  before torch: its threads then sleep while they wait
from checks.grading.check import Check
from checks.grading.result import CheckFailed, CheckResult
from checks.grading.source import Source
from checks.learner_files.progress import text

STEMS = ("d1_moe", "d2_deepseek_moe", "d3_mla", "d4_deepseek")

LESSONS: dict[str, tuple[Check, ...]]
CHECKS: dict[str, Check]


def __getattr__(name: str) -> object:
    if name not in ("CHECKS", "LESSONS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    lessons = {stem: importlib.import_module(f"checks.{stem}").CHECKS for stem in STEMS}
    every = {check.id: check for checks in lessons.values() for check in checks}
    globals().update(LESSONS=lessons, CHECKS=every)
    return globals()[name]


def progress() -> Source:
    """The board of the fourteen subtasks, as this learner stands."""
    from checks import CHECKS  # by `__getattr__`, which a bare name in this module does not ask

    return Source(text({check.id: check.name for check in CHECKS.values()}))


__all__ = ["CHECKS", "LESSONS", "STEMS", "Check", "CheckFailed", "CheckResult", "progress"]
