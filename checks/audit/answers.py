"""Right and wrong answers to the exercises, found by walking the bank.

The bank has a folder per lesson and, in it, a module per exercise, named after what the exercise
asks for: `TopKRouter` is answered in `top_k_router`, which may be a folder of modules. `@right` and
`@wrong` enter an answer; its exercise follows from the module it is defined in.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TypeVar

from checks import LESSONS, OPEN_TASKS, STEMS, Check

Answer = TypeVar("Answer", bound=Callable)

BANK = "checks.audit.bank"  # the package; its modules import this one


@dataclass
class Answers:
    """What the check of one exercise must accept and what it must refuse.

    `equivalent_mutants` says, by the description of a mutant of the reference, why that mutant does
    what the reference does.
    """

    right: list[Callable] = field(default_factory=list)
    wrong: list[Callable] = field(default_factory=list)
    equivalent_mutants: dict[str, str] = field(default_factory=dict)


def audited(lesson: str) -> tuple[Check, ...]:
    """The checks of a lesson that have answers in the bank: its exercises' and its open task's."""
    return (*LESSONS.get(lesson, ()), *OPEN_TASKS.get(lesson, ()))


_entered: dict[str, Answers] = {}  # by the name of the module that defines them


def right(answer: Answer) -> Answer:
    """Enter an answer that the check must accept, and return it unchanged."""
    _entered_by(answer).right.append(answer)
    return answer


def wrong(answer: Answer) -> Answer:
    """Enter an answer that the check must refuse, and return it unchanged."""
    _entered_by(answer).wrong.append(answer)
    return answer


def answers_to(check: Check) -> Answers:
    """The answers to the exercise of a check, by module name and then in the order of the source.

    Of the bank, only the modules of this exercise are imported, and what they import themselves.
    Raises `ValueError` if there is no such module, or if two answers have the same name.
    """
    found = Answers()
    for module in _modules(check):
        entered = _entered.get(module.__name__, Answers())
        found.right += entered.right
        found.wrong += entered.wrong
        found.equivalent_mutants |= getattr(module, "EQUIVALENT_MUTANTS", {})
    _refuse_duplicates(check, found)
    return found


def _entered_by(answer: Callable) -> Answers:
    """What the module of an answer has entered so far.

    Raises `ValueError` for an answer without docstring, or one that answers no exercise.
    """
    if not answer.__doc__:
        raise ValueError(f"{answer.__name__} must have a docstring that says its mistake or style")
    module = answer.__module__
    lesson, _, inside = module.removeprefix(f"{BANK}.").partition(".")
    name = inside.partition(".")[0]
    if not any(_is_named_after(name, check) for check in audited(lesson)):
        raise ValueError(f"{module} has answers, but {lesson} has no exercise of its name")
    return _entered.setdefault(module, Answers())


def _is_named_after(module: str, check: Check) -> bool:
    return module.replace("_", "") == check.name.replace("_", "").lower()


def _modules(check: Check) -> list[ModuleType]:
    """The imported modules that may hold answers to the exercise of a check, sorted by name."""
    lesson = importlib.import_module(f"{BANK}.{_lesson(check)}")
    for name in _names_in(lesson):
        if _is_named_after(name, check):
            module = importlib.import_module(f"{lesson.__name__}.{name}")
            inner = [f"{module.__name__}.{each}" for each in _names_in(module)]
            return [module, *map(importlib.import_module, inner)]
    raise ValueError(f"{lesson.__name__} has no module named after {check.id} {check.name}")


def _lesson(check: Check) -> str:
    return next(stem for stem in STEMS if check in audited(stem))


def _names_in(module: ModuleType) -> list[str]:
    """The names of a package's modules, sorted; none for a plain module."""
    return sorted(found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ())))


def _refuse_duplicates(check: Check, answers: Answers) -> None:
    names = Counter(answer.__name__ for answer in [*answers.right, *answers.wrong])
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise ValueError(f"two answers to {check.id} {check.name} are called {', '.join(twice)}")
