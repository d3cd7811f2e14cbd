"""How an answer is looked at: through every case of its exercise, or until enough is seen.

A look is a function, which takes an answer and one case and returns the faults, and its cases.
"""

from collections.abc import Callable, Iterator

import torch

SEED = 2**40 + 7  # nobody sets this one
Look = tuple[Callable[..., set[str]], list[tuple]]


def faults_of(look: Look, answer: Callable) -> set[str]:
    """The faults seen in all cases together."""
    return set().union(*_faults_by_case(look, answer))


def fails_and_runs(look: Look, answer: Callable) -> tuple[bool, bool]:
    """Whether some case shows a fault, and whether some case runs through without an exception.

    Cases are tried in turn until both are seen: what the later ones would show changes nothing.
    """
    fails = runs = False
    for faults in _faults_by_case(look, answer):
        fails |= bool(faults)
        runs |= not any(fault.startswith("raised") for fault in faults)
        if fails and runs:
            break
    return fails, runs


def _faults_by_case(look: Look, answer: Callable) -> Iterator[set[str]]:
    """The faults of each case; an exception is a fault named after it."""
    at, cases = look
    for case in cases:
        torch.manual_seed(SEED)
        try:
            faults = at(answer, *case)
            faults |= set() if torch.initial_seed() == SEED else {"torch's seed"}
        except Exception as error:
            faults = {f"raised {type(error).__name__}: {error}"}
        yield faults
