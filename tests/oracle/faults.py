"""How the answers of a bank are looked at: every case of an exercise, and what is amiss in each."""

import pytest
import torch


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


def entries(bank, kind):
    """The right or the wrong answers of a bank, as parameters named after them."""
    return [
        pytest.param(exercise, answer, id=f"{exercise}-{answer.__name__}")
        for exercise, answers in bank.answers.items()
        for answer in getattr(answers, kind)
    ]
