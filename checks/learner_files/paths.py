"""Where things lie: the folders of the house."""

from pathlib import Path

import helpers

ROOT = Path(helpers.__file__).resolve().parent.parent
WORK = ROOT / "work"
CHECKS = ROOT / "checks"
BANKS = (CHECKS / "answers", CHECKS / "audit" / "bank")  # answers, which lie where the checks do


def is_in_a_bank(path: Path) -> bool:
    """Whether a file holds answers that the checks are audited with."""
    return any(path.is_relative_to(bank) for bank in BANKS)


def is_of_the_checks(path: Path) -> bool:
    """Whether a file belongs to the checks themselves: below their folder, and in no bank."""
    return path.is_relative_to(CHECKS) and not is_in_a_bank(path)
