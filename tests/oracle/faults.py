"""How the answers of a bank are looked at: every case of an exercise, and what is amiss in each."""

import pytest
import torch

from checks import LESSONS
from checks.audit.answers import answers_to


def faults_by_case(look, answer):
    """The faults seen in each case; an exception is a fault by its name.

    `look` is the function that looks at an answer, and its cases.
    """
    at, cases = look
    return [_faults(at, answer, case) for case in cases]


def _faults(at, answer, case):
    torch.manual_seed(0)
    try:
        return at(answer, *case)
    except Exception as error:
        return {f"raised {type(error).__name__}: {error}"}


def always_raises(seen):
    """Whether an exception is among the faults of every case."""
    return all(any(fault.startswith("raised") for fault in faults) for faults in seen)


def entries(lesson, kind):
    """The right or the wrong answers to a lesson's exercises, as parameters named after them."""
    return [
        pytest.param(check.id, answer, id=f"{check.id}-{answer.__name__}")
        for check in LESSONS[lesson]
        for answer in getattr(answers_to(check), kind)
    ]
