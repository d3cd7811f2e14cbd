"""Where things lie: the folders of the house."""

from pathlib import Path

import helpers
from checks.learner_files import under_nbgrader

ROOT = Path(helpers.__file__).resolve().parent.parent
WORK = Path.cwd() if under_nbgrader.is_grading() else ROOT / "work"
CHECKS = ROOT / "checks"
BANK = CHECKS / "audit" / "bank"  # the answers that the checks are audited with


def is_of_the_checks(path: Path) -> bool:
    """Whether a file belongs to the checks themselves: below their folder, and not in the bank."""
    return path.is_relative_to(CHECKS) and not path.is_relative_to(BANK)
