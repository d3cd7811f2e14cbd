"""Autograded checks that explain: one per exercise, found by id in `CHECKS`.

`OPEN_TASKS` has the checks of the lessons' open tasks, which no board, carrying or validation asks
for. All of them load the lessons when they are first asked for, so that the machinery needs none of
them and a notebook loads only its own.
"""

import importlib
from functools import cache

import solutions  # noqa: F401  before torch: its threads then sleep while they wait
from checks.grading.check import Check
from checks.grading.result import CheckFailed, CheckResult
from checks.grading.source import Source
from checks.learner_files.board import text
from checks.learner_files.predictions import predict, truth

STEMS = ("d1_moe", "d2_deepseek_moe", "d3_mla", "d4_deepseek")

LESSONS: dict[str, tuple[Check, ...]]
CHECKS: dict[str, Check]
OPEN_TASKS: dict[str, tuple[Check, ...]]


@cache
def _lessons() -> dict[str, tuple[Check, ...]]:
    return {stem: importlib.import_module(f"checks.{stem}").CHECKS for stem in STEMS}


@cache
def _checks() -> dict[str, Check]:
    return {check.id: check for checks in _lessons().values() for check in checks}


@cache
def _open_tasks() -> dict[str, tuple[Check, ...]]:
    return {stem: importlib.import_module(f"checks.{stem}").OPEN_TASKS for stem in STEMS}


_LOADED = {"LESSONS": _lessons, "CHECKS": _checks, "OPEN_TASKS": _open_tasks}


def __getattr__(name: str) -> object:
    if name in _LOADED:
        return _LOADED[name]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def progress() -> Source:
    """The learner's progress through the fourteen subtasks."""
    return Source(text({check.id: check.name for check in _checks().values()}))


__all__ = [
    "CHECKS",
    "LESSONS",
    "OPEN_TASKS",
    "STEMS",
    "Check",
    "CheckFailed",
    "CheckResult",
    "predict",
    "progress",
    "truth",
]
