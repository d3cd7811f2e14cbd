"""Whose parts a training runs on: the learner's where they pass, or the reference's."""

from importlib import import_module
from typing import Any

from torch import distributed as dist

STEMS = ("d1_moe", "d2_deepseek_moe", "d3_mla", "d4_deepseek")
REFERENCE = ("d2_deepseek_moe", "d4_deepseek", "d4_machines")


def reference_parts() -> dict[str, Any]:
    """The reference's classes and functions, by name."""
    found: dict[str, Any] = {}
    for module in REFERENCE:
        found |= vars(import_module(f"solutions.{module}"))
    return found


def learners_parts() -> tuple[dict[str, Any], list[str]]:
    """The same with the learner's own in place of the reference's where they pass, and their names.

    The first process judges what was not judged yet, so that the others only read its verdicts.
    """
    carry = import_module("checks.learner.carry")  # only where a training asks for the learner's
    if dist.get_rank() > 0:
        dist.barrier()
    carried = carry.saved_parts(STEMS, {})
    if dist.get_rank() == 0:
        dist.barrier()
    own = [name for name, whose in carried.origin.items() if whose == "yours"]
    return reference_parts() | carried.parts, own
