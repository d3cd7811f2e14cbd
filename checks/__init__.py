"""Autograded checks that explain: one an exercise, found by id in `CHECKS`."""

from checks import board, d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek
from checks.check import Check
from checks.outcome import CheckFailed, CheckResult
from checks.source import Source

LESSONS: dict[str, tuple[Check, ...]] = {
    "d1_moe": d1_moe.CHECKS,
    "d2_deepseek_moe": d2_deepseek_moe.CHECKS,
    "d3_mla": d3_mla.CHECKS,
    "d4_deepseek": d4_deepseek.CHECKS,
}
CHECKS: dict[str, Check] = {check.id: check for checks in LESSONS.values() for check in checks}


def progress() -> Source:
    """The board of the fourteen subtasks, as this learner stands."""
    return Source(board.text({check.id: check.name for check in CHECKS.values()}))


__all__ = ["CHECKS", "LESSONS", "Check", "CheckFailed", "CheckResult", "progress"]
