"""What the check of an exercise says about a wrong answer."""

from collections.abc import Callable

import pytest

from checks import CHECKS, OPEN_TASKS, CheckFailed

_OPEN = {check.id: check for checks in OPEN_TASKS.values() for check in checks}


def refusal(exercise: str, answer: Callable) -> str:
    with pytest.raises(CheckFailed) as failed:
        (CHECKS | _OPEN)[exercise](answer, seed=1)
    return failed.value.message
